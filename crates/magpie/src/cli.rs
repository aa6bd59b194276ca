//! Reads the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ipnet::Ipv6Net;
use magpie_engine::{Config, LinkConfig, NaSource, Prefixes, Timing};

/// Where the control socket is unless the command line says otherwise.
pub(crate) const DEFAULT_CONTROL: &str = "/run/magpie/magpie.sock";

/// Makes several links behave as one IPv6 subnet: relays Neighbor Discovery between them and
/// keeps a route to each host.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Commands (talk to a running magpie)",
    override_usage = "magpie -i <LINK,LINK[,...]> [OPTIONS]\n       magpie <COMMAND>",
    after_help = "Example: magpie -i wan,br-lan -f /var/lib/magpie/saved-routes.json",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do instead of running the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the links, the counters and what is wrong
    Status(ViewArgs),
    /// Show the hosts that are known, and where they are
    Hosts(ViewArgs),
    /// Print what happens, as it happens, until interrupted
    Watch(ViewArgs),
    /// Save the routes, and read links, addresses and routes anew
    Reload(ControlArgs),
    /// Show what magpie does, on a network of its own that touches no other (needs no daemon)
    Demo(DemoArgs),
}

/// How the demonstration shall be given.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DemoArgs {
    /// Print the measurements as JSON; the story goes to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Leave everything running at the end, to look around in, until interrupted
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Where a running daemon is reached.
#[derive(Args, Debug)]
pub(crate) struct ControlArgs {
    /// Control socket of the running magpie
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL)]
    pub(crate) control: PathBuf,
}

/// What to show, and how.
#[derive(Args, Debug)]
pub(crate) struct ViewArgs {
    /// Print JSON for programs: its field names do not change
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// How the daemon shall run.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Links to join into one subnet, two or more
    #[arg(
        short,
        long,
        required = true,
        value_name = "LINK,LINK[,...]",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Links"
    )]
    pub(crate) interfaces: Vec<String>,

    /// Prefix of the subnet; may be given several times. Without one, the prefixes of the links'
    /// addresses and of Router Advertisements heard on them are taken
    #[arg(long = "prefix", value_name = "PREFIX/LEN", value_parser = parse_prefix, help_heading = "Links")]
    pub(crate) prefixes: Vec<Ipv6Net>,

    /// Time that maintenance which is due may wait for company
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=3600),
        help_heading = "Timing"
    )]
    pub(crate) alarm_interval: u32,

    /// Silence after which a host is probed, and time between its probes
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=86_400),
        help_heading = "Timing"
    )]
    pub(crate) probe_interval: u32,

    /// Unanswered probes after which a host is forgotten
    #[arg(
        short = 'r',
        long,
        value_name = "COUNT",
        default_value_t = 5,
        value_parser = clap::value_parser!(u8).range(1..=100),
        help_heading = "Timing"
    )]
    pub(crate) probe_retries: u8,

    /// Longest random delay before an answer; with several proxies side by side, up to 1000
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(0..=1000),
        help_heading = "Timing"
    )]
    pub(crate) answer_delay: u16,

    /// Address that answers come from
    #[arg(
        long,
        value_name = "WHICH",
        value_enum,
        default_value_t = NaSourceArg::LinkLocal,
        help_heading = "Answers"
    )]
    pub(crate) na_source: NaSourceArg,

    /// File that keeps what was learned from one run to the next
    #[arg(short = 'f', long, value_name = "PATH", help_heading = "System")]
    pub(crate) routes_save_file: Option<PathBuf>,

    /// Socket for `magpie status` and the like [default: /run/magpie/magpie.sock]
    #[arg(long, value_name = "PATH", help_heading = "System")]
    pub(crate) control: Option<PathBuf>,

    /// Correct kernel settings that are in the way (forwarding, `accept_ra`, `disable_ipv6`), and
    /// put them back at exit
    #[arg(long, help_heading = "System")]
    pub(crate) fix: bool,

    /// How much to tell
    #[arg(
        short,
        long,
        value_name = "LEVEL",
        value_enum,
        default_value_t = Level::Info,
        help_heading = "System"
    )]
    pub(crate) log_level: Level,
}

/// Which address of the sending link answers come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum NaSourceArg {
    /// The link-local address of the link
    LinkLocal,
    /// A global address of the link, for networks that drop the rest
    Global,
    /// The address asked for, as if the host itself answered
    Target,
}

/// How much to tell.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Level {
    /// What keeps the daemon from working
    Error,
    /// And what an operator should look at
    Warning,
    /// And what a user would notice
    Info,
    /// And why things were decided
    Verbose,
    /// And everything else
    Debug,
}

impl Cli {
    /// Reads the command line of this process; prints help or what is wrong with it and exits
    /// with status 2 if it cannot be used.
    pub(crate) fn from_command_line() -> Self {
        let cli = Self::parse();
        if cli.command.is_none()
            && let Err(complaint) = cli.run.check()
        {
            Self::command().error(ErrorKind::ValueValidation, complaint).exit();
        }
        cli
    }
}

impl RunArgs {
    /// What is asked of the engine.
    pub(crate) fn engine_config(&self) -> Config {
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let prefixes = if self.prefixes.is_empty() {
            Prefixes::default()
        } else {
            Prefixes::only(self.prefixes.clone())
        };
        let link = LinkConfig {
            na_source: match self.na_source {
                NaSourceArg::LinkLocal => NaSource::LinkLocal,
                NaSourceArg::Global => NaSource::Global,
                NaSourceArg::Target => NaSource::Target,
            },
            answer_delay: Duration::from_millis(u64::from(self.answer_delay)),
            ..LinkConfig::default()
        };
        Config {
            prefixes,
            links: vec![link; self.interfaces.len()],
            timing: Timing {
                alarm_interval: seconds(self.alarm_interval),
                probe_interval: seconds(self.probe_interval),
                probe_retries: self.probe_retries,
                ..Timing::default()
            },
            ..Config::default()
        }
    }

    /// What only several values together show to be wrong.
    fn check(&self) -> Result<(), String> {
        for (index, name) in self.interfaces.iter().enumerate() {
            check_name(name)?;
            if self.interfaces.iter().take(index).any(|earlier| earlier == name) {
                return Err(format!("the interface '{name}' is given twice"));
            }
        }
        if let [only] = self.interfaces.as_slice() {
            return Err(format!(
                "'{only}' alone is no relay: give two or more interfaces, as in '-i {only},br-lan'"
            ));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name == "lo" {
        return Err("the loopback interface 'lo' has no neighbors: leave it out".to_owned());
    }
    // What the kernel accepts as a name (dev_valid_name).
    let valid = name.len() < IFNAMSIZ
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
    if valid {
        return Ok(());
    }
    Err(format!(
        "'{name}' cannot be the name of an interface: names have at most {} characters, \
         and neither blanks nor '/' nor ':'",
        IFNAMSIZ - 1
    ))
}

fn parse_prefix(text: &str) -> Result<Ipv6Net, String> {
    let prefix: Ipv6Net =
        text.parse().map_err(|_| "expected an IPv6 prefix such as 2001:db8:7::/64".to_owned())?;
    let trunc = prefix.trunc();
    if trunc.addr() != prefix.addr() {
        return Err(format!("bits beyond the length are set: did you mean {trunc}?"));
    }
    if prefix.prefix_len() < SHORTEST_PREFIX {
        return Err(format!(
            "no subnet is that large: the length must be {SHORTEST_PREFIX} or more"
        ));
    }
    let address = prefix.addr();
    if address.is_multicast() || address.is_unicast_link_local() {
        return Err("multicast and link-local addresses stay on their link".to_owned());
    }
    Ok(prefix)
}

/// Octets of a name with the zero at its end.
const IFNAMSIZ: usize = 16;
/// Beyond this a prefix would claim other people's networks.
const SHORTEST_PREFIX: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_classic_command_lines_work() {
        for line in [
            "magpie -i wan,br-lan",
            "magpie -iwan,br-lan -l verbose",
            "magpie --interfaces=wan,br-lan -a 10 -p 60 -r 5",
            "magpie --interfaces wan,br-lan --alarm-interval 10 --probe-interval=60",
            "magpie -i wan -i br-lan --probe-retries 3 --log-level debug",
            "magpie -i wan,br-lan -f /var/lib/magpie/saved-routes.json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(cli.run.interfaces, ["wan", "br-lan"], "{line}");
            assert_eq!(cli.run.check(), Ok(()), "{line}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_engine() {
        let cli = Cli::try_parse_from(["magpie", "-i", "a,b"]).unwrap();
        let defaults = Config { links: vec![LinkConfig::default(); 2], ..Config::default() };
        assert_eq!(format!("{:?}", cli.run.engine_config()), format!("{defaults:?}"));
    }

    #[test]
    fn commands_need_no_interfaces() {
        for line in ["magpie status", "magpie hosts --json", "magpie watch --control /tmp/x"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert!(cli.command.is_some(), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_word_on_what_is_wrong() {
        let cases = [
            ("magpie", "--interfaces"),
            ("magpie -i", "--interfaces"),
            ("magpie -i a,,b", "--interfaces"),
            ("magpie -i a,b -p 0", "--probe-interval"),
            ("magpie -i a,b -l loud", "possible values"),
            ("magpie -i a,b --prefix ::/0", "16 or more"),
            ("magpie -i a,b --prefix 2001:db8::1/64", "did you mean 2001:db8::/64"),
            ("magpie -i a,b --prefix fe80::/64", "link-local"),
            ("magpie -i a,b --prefix 10.0.0.0/8", "IPv6 prefix"),
            ("magpie -i a,b --answer-delay 1001", "--answer-delay"),
        ];
        for (line, expected) in cases {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line).to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn combinations_that_make_no_relay_are_refused() {
        let cases = [
            ("magpie -i wan", "two or more"),
            ("magpie -i wan,wan", "twice"),
            ("magpie -i lo,wan", "loopback"),
            ("magpie -i wan,a-name-that-is-too-long", "at most 15"),
            ("magpie -i wan,a/b", "'/'"),
        ];
        for (line, expected) in cases {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            let complaint = cli.run.check().expect_err(line);
            assert!(complaint.contains(expected), "{line}: {complaint}");
        }
    }
}
