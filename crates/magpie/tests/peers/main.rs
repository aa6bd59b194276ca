//! Magpie beside npd6 and ndppd: the same solicitations, the same configuration file, and every
//! difference in who is answered is meant.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod observe;
mod original;
mod place;
mod stimulus;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use magpie_testnet::peers::Peer;

use common::{Folder, Magpie, Outcome};
use observe::Seen::{self, Answered, Astray, Silent};
use observe::ask;
use original::Original;
use place::Place;
use stimulus::Stimulus;

fn main() -> ExitCode {
    // Namespaces have no way out: what is missing is fetched before.
    for peer in [Peer::Npd6, Peer::Ndppd] {
        if let Err(error) = original::files(peer) {
            eprintln!("cannot run these tests: {}", common::chain(&*error));
            return ExitCode::FAILURE;
        }
    }
    common::run(&[
        ("npd6_answers_for_a_prefix", npd6_answers_for_a_prefix),
        ("npd6_with_unicast_too", npd6_with_unicast_too),
        ("npd6_with_a_black_list", npd6_with_a_black_list),
        ("npd6_with_a_white_list", npd6_with_a_white_list),
        ("ndppd_with_a_static_rule", ndppd_with_a_static_rule),
        ("ndppd_with_an_iface_rule", ndppd_with_an_iface_rule),
        ("ndppd_with_a_link_that_is_missing", ndppd_with_a_link_that_is_missing),
    ])
}

/// A difference that is meant.
struct Difference {
    /// The stimulus.
    what: &'static str,
    /// What the original makes of it.
    theirs: Seen,
    /// What Magpie makes of it.
    ours: Seen,
    /// Why Magpie is right.
    why: &'static str,
}

const fn differs(what: &'static str, theirs: Seen, ours: Seen, why: &'static str) -> Difference {
    Difference { what, theirs, ours, why }
}

/// What none of them checks, and where their kernel sends the answer.
const ANY: [Difference; 5] = [
    differs(
        "hop limit 64",
        Answered,
        Silent,
        "it was forwarded: whoever sent it is not on the link (RFC 4861 section 7.1.1)",
    ),
    differs("bad checksum", Answered, Silent, "it is not what was sent (RFC 4861 section 7.1.1)"),
    differs("code 1", Answered, Silent, "nobody has defined it (RFC 4861 section 7.1.1)"),
    differs(
        "option without length",
        Answered,
        Silent,
        "such a message must be discarded (RFC 4861 section 7.1.1)",
    ),
    differs(
        "live, asked from an address of another subnet",
        Astray,
        Answered,
        "the answer goes where the question came from, not to the default router",
    ),
];

/// What is not answered because it was sent to one node alone.
const UNICAST: [Difference; 2] = [
    differs("unicast, live", Silent, Answered, NUD),
    differs("unicast, live, asked from a global address", Silent, Answered, NUD),
];
const NUD: &str = "a neighbor that does not answer when it is asked directly is taken for gone \
                   (RFC 4861 section 7.3)";

const OWN: Difference = differs(
    "the gateway's own address",
    Answered,
    Silent,
    "the kernel answers for it, and says where it is",
);

const ASKER: Difference = differs(
    "who has asked before",
    Answered,
    Silent,
    "it is on the asking link, as everybody there has seen, and answers by itself",
);

/// npd6 answers whatever looks like a solicitation.
const NPD6: [Difference; 5] = [
    OWN,
    ASKER,
    differs(
        "to the gateway's address, hop limit 64",
        Answered,
        Silent,
        "anybody anywhere could make the gateway answer (RFC 4861 section 7.1.1)",
    ),
    differs("truncated", Astray, Silent, "it names no target; npd6 takes the one of before"),
    differs("UDP that looks alike", Answered, Silent, "it is no solicitation"),
];

/// ndppd looks at multicast solicitations alone ...
const NDPPD: [Difference; 1] = [differs(
    "to the gateway's address",
    Silent,
    Answered,
    "a solicitation may be sent to any address of the node (RFC 4861 section 7.2.3)",
)];

/// ... answers duplicate address detection to the unspecified address ...
const NDPPD_STATIC: [Difference; 4] = [
    OWN,
    ASKER,
    differs("duplicate address detection, live", Astray, Silent, NEVER),
    differs("duplicate address detection, dead", Astray, Silent, NEVER),
];
const NEVER: &str = "who answers for all of a prefix would let nobody have an address there, \
                     and an answer to the unspecified address leaves the gateway as one to ::1";

/// ... and answers the first asker alone.
const NDPPD_IFACE: [Difference; 3] = [
    differs(
        "duplicate address detection, live",
        Astray,
        Answered,
        "the address is taken, and all nodes are told (RFC 4861 section 7.2.4)",
    ),
    differs("second asker", Silent, Answered, EACH),
    differs("second asker, global", Silent, Answered, EACH),
];
const EACH: &str = "whoever asks is answered; ndppd tells the first asker once more";

fn npd6_answers_for_a_prefix() -> Outcome {
    compare(Peer::Npd6, NPD6_CONFIG, &Stimulus::common(), &[&ANY, &UNICAST, &NPD6]).map(drop)
}

fn npd6_with_unicast_too() -> Outcome {
    let config = format!("{NPD6_CONFIG}ignoreLocal = false\n");
    compare(Peer::Npd6, &config, &Stimulus::common(), &[&ANY, &NPD6]).map(drop)
}

fn npd6_with_a_black_list() -> Outcome {
    let config = format!("{NPD6_CONFIG}listtype = black\n{LISTS}");
    let seen = compare(Peer::Npd6, &config, &listed(), &[])?;
    expect(
        &seen,
        &[
            ("listed", Silent),
            ("matched", Silent),
            ("matched by one side of a pair", Answered),
            ("on no list", Answered),
        ],
    )
}

fn npd6_with_a_white_list() -> Outcome {
    let config = format!("{NPD6_CONFIG}listtype = white\n{LISTS}");
    let seen = compare(Peer::Npd6, &config, &listed(), &[])?;
    expect(
        &seen,
        &[
            ("listed", Answered),
            ("matched", Answered),
            ("matched by one side of a pair", Silent),
            ("on no list", Silent),
        ],
    )
}

fn ndppd_with_a_static_rule() -> Outcome {
    let differences: &[&[_]] = &[&ANY, &UNICAST, &NDPPD, &NDPPD_STATIC];
    compare(Peer::Ndppd, &ndppd_config("static"), &Stimulus::common(), differences).map(drop)
}

fn ndppd_with_an_iface_rule() -> Outcome {
    let differences: &[&[_]] = &[&ANY, &UNICAST, &NDPPD, &NDPPD_IFACE];
    compare(Peer::Ndppd, &ndppd_config("iface lan"), &Stimulus::common(), differences).map(drop)
}

/// ndppd takes a rule whose link is not there yet for a static one.
fn ndppd_with_a_link_that_is_missing() -> Outcome {
    let config = ndppd_config("iface tun0");
    let stimuli = Stimulus::common();
    let (theirs, _) = original(Peer::Ndppd, &config, &stimuli)?;
    let (ours, imported) = magpie(Peer::Ndppd, &config, &stimuli)?;
    for what in ["live", "dead", "a neighbor on the asking link"] {
        assert!(theirs.contains(&(what, Answered)), "{theirs:?}");
    }
    assert!(ours.iter().all(|(_, seen)| *seen == Silent), "{ours:?} with\n{imported}");
    Ok(())
}

fn ndppd_config(method: &str) -> String {
    format!("proxy wan {{\n  rule 2001:db8:7::/64 {{\n    {method}\n  }}\n}}\n")
}

/// Solicitations for what lists name. npd6's operators have one precedence: a pair of comparisons
/// without parentheses matches what neither of them does.
fn listed() -> [Stimulus; 4] {
    [
        Stimulus::for_number("listed", 1, 0x77),
        Stimulus::for_number("matched", 2, 0x78),
        Stimulus::for_number("matched by one side of a pair", 3, 0x79),
        Stimulus::for_number("on no list", 4, 0x7a),
    ]
}

const NPD6_CONFIG: &str = "prefix = 2001:db8:7:0:\ninterface = wan\n";
const LISTS: &str = "addrlist = 2001:db8:7:0:0:0:0:77\n\
                     exprlist = (HOST & 0xffff) == 0x78\n\
                     exprlist = HOST==0x79||HOST==0x7b\n";

type Table = Vec<(&'static str, Seen)>;

/// Fails unless the original and Magpie with its configuration answer the same stimuli, but for
/// these differences, which have to be there. Returns what Magpie made of each stimulus.
fn compare(
    peer: Peer,
    config: &str,
    stimuli: &[Stimulus],
    differences: &[&[Difference]],
) -> Result<Table, Box<dyn Error>> {
    let (theirs, log) = original(peer, config, stimuli)?;
    let (ours, imported) = magpie(peer, config, stimuli)?;
    let meant = |what| differences.iter().copied().flatten().find(|found| found.what == what);
    let mut wrong = Vec::new();
    for (&(what, theirs), &(_, ours)) in theirs.iter().zip(&ours) {
        let verdict = match meant(what) {
            None if theirs == ours => continue,
            None => "they should not differ".to_owned(),
            Some(meant) if (theirs, ours) == (meant.theirs, meant.ours) => continue,
            Some(Difference { theirs, ours, why, .. }) => {
                format!("expected {theirs:?} and {ours:?}, since {why}")
            }
        };
        wrong.push(format!("{what}: {peer:?} {theirs:?}, Magpie {ours:?}; {verdict}"));
    }
    if wrong.is_empty() {
        return Ok(ours);
    }
    let wrong = wrong.join("\n");
    Err(format!("{wrong}\n\n{config}\nis, for Magpie:\n{imported}\n{peer:?} wrote:\n{log}").into())
}

fn expect(seen: &[(&str, Seen)], expected: &[(&str, Seen)]) -> Outcome {
    if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}").into()) }
}

fn original(
    peer: Peer,
    config: &str,
    stimuli: &[Stimulus],
) -> Result<(Table, String), Box<dyn Error>> {
    let mut place = Place::new(stimuli)?;
    let daemon = Original::start(&place.gateway, peer, config)?;
    let table = ask(&mut place, stimuli)?;
    let log = daemon.log();
    daemon.stop()?;
    Ok((table, log))
}

fn magpie(
    peer: Peer,
    config: &str,
    stimuli: &[Stimulus],
) -> Result<(Table, String), Box<dyn Error>> {
    let folder = Folder::new()?;
    let (foreign, own) = (folder.path("foreign"), folder.path("magpie.toml"));
    fs::write(&foreign, config)?;
    let program = match peer {
        Peer::Npd6 => "npd6",
        Peer::Ndppd => "ndppd",
        Peer::Avahi | Peer::Resolved => return Err(format!("{peer:?} is no proxy").into()),
    };
    let imported = Magpie::import(program, &foreign)?;
    fs::write(&own, &imported)?;
    let mut place = Place::new(stimuli)?;
    let daemon = Magpie::run(&place.gateway, ["-c".as_ref(), own.as_os_str()])?;
    let table = ask(&mut place, stimuli)?;
    daemon.stop()?;
    Ok((table, imported))
}
