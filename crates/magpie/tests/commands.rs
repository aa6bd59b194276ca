//! The commands about configurations, rules and targets, as people and container hooks use them.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv6Addr;
use std::process::{ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Folder, LIMIT, Magpie, Outcome, Site, Station, address, answer_for, host_address};
use magpie_control::{AddRules, Client, ClientError, NewRule, RemoveRules, RuleMethod};
use magpie_sys::netlink::{LinkPlace, MacvlanMode, NewMacvlan};
use magpie_testnet::{Bridge, Node, connect};
use rustix::process::Signal;
use serde_json::Value;

fn main() -> ExitCode {
    common::run(&[
        ("a_check_shows_all_mistakes_at_once", a_check_shows_all_mistakes_at_once),
        ("a_check_sums_up_or_prints_what_is_right", a_check_sums_up_or_prints),
        ("a_check_tells_which_interfaces_the_links_are", a_check_tells_which_interfaces),
        ("a_missing_file_is_answered_with_a_way_in", a_missing_file_is_answered),
        ("an_import_is_a_configuration_that_runs", an_import_is_a_configuration),
        ("mistakes_in_what_is_imported_end_with_2", mistakes_in_imports_end_with_2),
        ("rules_come_and_go_at_run_time", rules_come_and_go_at_run_time),
        ("rules_end_with_their_lifetime", rules_end_with_their_lifetime),
        ("rules_survive_reloads_and_if_asked_restarts", rules_survive),
        ("rules_that_cannot_be_are_refused", rules_that_cannot_be_are_refused),
        ("several_rules_are_added_together_or_not_at_all", several_rules_or_none),
        ("targets_that_were_asked_for_are_shown", targets_are_shown),
        ("the_status_shows_relays_and_responders", the_status_shows_relays),
        ("a_watch_ends_with_the_daemon", a_watch_ends_with_the_daemon),
    ])
}

/// An address that nobody has.
const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 5);

/// A responder that answers for nothing by itself.
const RESPONDER: &str = "[[responder]]\nname = \"edge\"\nlinks = [\"wan\"]\nprefixes = []\n";

fn a_check_shows_all_mistakes_at_once() -> Outcome {
    let node = Node::new("gateway")?;
    let folder = Folder::new()?;
    let path = folder.path("magpie.toml");
    fs::write(
        &path,
        "[[relay]]\nlinks = [\"wan\", \"lan\"]\nroute-metrc = 3\n\n[[responder]]\nlinks = [\"wan\"]\n",
    )?;
    let path = path.to_string_lossy().into_owned();
    for arguments in [&["check", "-c", &path][..], &["check", "--print", "-c", &path]] {
        let output = run(&node, arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(output.stdout.is_empty());
        for expected in ["magpie.toml:3:1", "`route-metric`?", "magpie.toml:6:", "^^^^"] {
            assert!(complaint.contains(expected), "{expected}: {complaint}");
        }
        assert!(!complaint.contains('\x1b'), "{complaint}");
    }
    Ok(())
}

fn a_check_sums_up_or_prints() -> Outcome {
    let node = Node::new("gateway")?;
    let folder = Folder::new()?;
    let path = folder.path("magpie.toml");
    fs::write(&path, "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"lan\"]\n")?;
    fs::create_dir(folder.path("conf.d"))?;
    fs::write(
        folder.path("conf.d/deny.toml"),
        "[[relay]]\nname = \"home\"\ndeny = [\"2001:db8::5\"]\n",
    )?;
    let path = path.to_string_lossy().into_owned();
    let output = run(&node, &["check", "-c", &path])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with(&format!("OK: {path}\n")), "{text}");
    assert_eq!(String::from_utf8(run(&node, &["check", &path])?.stdout)?, text);
    let line = text.lines().find(|line| line.starts_with("home ")).ok_or("no line")?;
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells, ["home", "relay", "wan,lan", "auto", "0", "0", "1"]);

    // What is printed is a configuration with the same meaning, flags included.
    let output = run(&node, &["check", "--print", "-c", &path, "-p", "30", "-i", "wan,dsl"])?;
    let text = String::from_utf8(output.stdout)?;
    for expected in ["probe-interval = \"30s\"", "\"wan\", \"dsl\"", "\"2001:db8::5\""] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let printed = folder.path("printed.toml");
    fs::write(&printed, &text)?;
    let again = run(&node, &["check", "--print", "-c", &printed.to_string_lossy()])?;
    // Files in conf.d refine it once more.
    assert!(String::from_utf8(again.stdout)?.contains("probe-interval = \"30s\""));
    Ok(())
}

fn a_check_tells_which_interfaces() -> Outcome {
    let node = Node::new("gateway")?;
    node.add_bridge(&Bridge::new("br-lan"))?;
    connect(&node.plug("wan"), &node.plug("veth0"))?;
    connect(&node.plug("eth1").bridge("br-lan"), &node.plug("veth1"))?;
    let link = node.ifindex("wan")?;
    node.execute("add the macvlan child", |batch| {
        let (place, mode) = (LinkPlace::default(), MacvlanMode::Private);
        batch.add_macvlan(&NewMacvlan { name: "child", place, link, mode });
    })?;
    let folder = Folder::new()?;
    let path = folder.path("magpie.toml");
    let check = |text: &str| -> Result<Output, Box<dyn Error>> {
        fs::write(&path, text)?;
        run(&node, &["check", &path.to_string_lossy()])
    };
    let output = check(
        "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"veth*\", \"kind:wireguard\", \"br-lna\"]\n\
         [[relay]]\nname = \"other\"\nbridge-port = \"bridge\"\nlinks = [\"eth1\", \"kind:macvlan\"]\n",
    )?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for (link, interfaces) in [
        ("wan", "wan"),
        ("veth*", "veth0,veth1"),
        ("kind:wireguard", "-"),
        ("br-lna", "-"),
        ("eth1", "br-lan"),
        ("kind:macvlan", "child"),
    ] {
        let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let shown =
            row.filter(|row| row.first() == Some(&link)).filter_map(|row| row.get(2).copied());
        assert_eq!(shown.collect::<Vec<_>>(), [interfaces], "{link}: {text}");
    }
    assert!(text.contains("if br-lan is not meant"), "{text}");

    for (links, expected) in [
        ("\"eth1\", \"wan\"", "it is a port of the bridge br-lan"),
        ("\"wan\", \"child\"", "share a device and cannot hear each other"),
    ] {
        let output = check(&format!("[[relay]]\nlinks = [{links}]\n"))?;
        let complaint = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.starts_with("error: cannot use the link "), "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
        assert!(String::from_utf8(output.stdout)?.starts_with("NOT USABLE HERE"));
    }
    // What is printed is for other machines, too.
    let output = run(&node, &["check", "--print", &path.to_string_lossy()])?;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(())
}

fn a_missing_file_is_answered() -> Outcome {
    let node = Node::new("gateway")?;
    for command in ["check", "run"] {
        if std::path::Path::new("/etc/magpie/magpie.toml").exists() {
            break;
        }
        let output = run(&node, &[command])?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        for expected in ["/etc/magpie/magpie.toml", "[[relay]]", "magpie import"] {
            assert!(complaint.contains(expected), "{expected}: {complaint}");
        }
    }
    // Links that are given make up for it.
    let output = run(&node, &["check", "-i", "wan,veth*"])?;
    assert!(output.status.success(), "{output:?}");
    for program in ["npd6", "ndppd"] {
        let path = format!("/etc/{program}.conf");
        if std::path::Path::new(&path).exists() {
            continue;
        }
        let output = run(&node, &["check", "--compat", program])?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert_eq!(complaint, format!("magpie: there is no {path}: name the file with -c FILE\n"));
    }
    let output = run(&node, &["check", "-c", "/none/magpie.toml"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("/none/magpie.toml"), "{complaint}");
    Ok(())
}

fn an_import_is_a_configuration() -> Outcome {
    let node = Node::new("gateway")?;
    let folder = Folder::new()?;
    let ndppd = folder.path("ndppd.conf");
    fs::write(&ndppd, "proxy wan {\n  rule 2001:db8:9::/64 {\n    iface lan\n  }\n}\n")?;
    let npd6 = folder.path("npd6.conf");
    fs::write(&npd6, "prefix=2001:db8:9::\ninterface=wan\n")?;
    let [ndppd, npd6] = [ndppd, npd6].map(|path| path.to_string_lossy().into_owned());
    for (arguments, expected) in [
        (&["import", "ndppd", &ndppd][..], "to = [\"lan\"]"),
        (&["import", "npd6", &npd6], "method = \"static\""),
        (&["import", "magpie", "-i wan,lan -a 5"], "alarm-interval = \"5s\""),
        (&["import", "magpie", "-i", "wan,lan", "-a", "5"], "alarm-interval = \"5s\""),
    ] {
        let output = run(&node, arguments)?;
        let text = String::from_utf8(output.stdout)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(expected), "{arguments:?}: {text}");
        let path = folder.path("imported.toml");
        fs::write(&path, &text)?;
        let output = run(&node, &["check", "-c", &path.to_string_lossy()])?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let output = fed(&node, &["import", "ndppd", "-"], &fs::read(&ndppd)?)?;
    assert!(String::from_utf8(output.stdout)?.contains("to = [\"lan\"]"));
    let output = fed(&node, &["import", "magpie", "-"], b"-i wan,lan -a 5\n")?;
    assert!(String::from_utf8(output.stdout)?.contains("alarm-interval = \"5s\""));
    let output = run(&node, &["check", "--compat", "ndppd", "-c", &ndppd])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn mistakes_in_imports_end_with_2() -> Outcome {
    let node = Node::new("gateway")?;
    let folder = Folder::new()?;
    let path = folder.path("ndppd.conf");
    fs::write(&path, "proxy wan {\n  rule nonsense {\n    static\n  }\n}\n")?;
    let path = path.to_string_lossy().into_owned();
    for (arguments, status, expected) in [
        (&["import", "ndppd", &path][..], 2, "ndppd.conf:2:"),
        (&["run", "--compat", "ndppd", "-c", &path], 2, "ndppd.conf:2:"),
        (&["import", "ndppd", "/none"], 1, "cannot read /none"),
        (&["import", "magpie", "--frobnicate"], 2, "--frobnicate"),
        (&["import", "radvd", &path], 2, "radvd"),
        (&["import"], 2, "npd6"),
    ] {
        let output = run(&node, arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complaint}");
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    Ok(())
}

fn rules_come_and_go_at_run_time() -> Outcome {
    let scene = Scene::new(RESPONDER, &[])?;
    let mut asker = Station::new("asker", &scene.site.switch, "up")?;
    let other = address("2001:db8:99::6");
    asker.expect_answers(&[], &[TARGET])?;

    for target in [TARGET, other] {
        scene.succeed(&["rules", "add", &target.to_string(), "static", "--owner", "hook"])?;
    }
    asker.expect_answers(&[TARGET, other], &[])?;
    let deny = ["rules", "add", &other.to_string(), "deny"];
    for _ in 0..2 {
        assert_eq!(scene.text(&deny)?, "");
    }
    asker.expect_answers(&[TARGET], &[other])?;

    let rules = scene.json(&["rules", "--json"])?;
    let listed: Vec<[&str; 4]> = rules
        .as_array()
        .ok_or("no list")?
        .iter()
        .map(|rule| {
            ["prefix", "method", "source", "owner"].map(|key| rule[key].as_str().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        listed,
        [
            ["2001:db8:99::5", "static", "added", "hook"],
            ["2001:db8:99::6", "static", "added", "hook"],
            ["2001:db8:99::6", "deny", "added", "manual"],
        ]
    );
    let text = scene.text(&["rules", "list"])?;
    assert!(text.starts_with("RELAY  PREFIX "), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");

    scene.succeed(&["rules", "remove", &other.to_string(), "--owner", "manual"])?;
    asker.expect_answers(&[TARGET, other], &[])?;
    let text = scene.text(&["rules", "add", &other.to_string(), "deny", "--owner", "hook"])?;
    assert_eq!(text, "replaces: 2001:db8:99::6 static (relay edge, owner hook)\n");
    scene.succeed(&["rules", "remove", "--owner", "hook"])?;
    asker.expect_answers(&[], &[TARGET, other])?;
    let output = scene.view(&["rules", "remove", "--owner", "hook"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no rule that was added matches"));
    scene.magpie.stop()?;
    Ok(())
}

fn rules_end_with_their_lifetime() -> Outcome {
    let scene = Scene::new(RESPONDER, &[])?;
    let mut asker = Station::new("asker", &scene.site.switch, "up")?;
    let target = TARGET.to_string();
    let begun = Instant::now();
    scene.succeed(&["rules", "add", &target, "static", "--lifetime", "2s"])?;
    asker.resolve(TARGET)?;
    let rules = scene.json(&["rules", "list", "--json"])?;
    let left = rules[0]["remaining_seconds"].as_u64().ok_or("no end")?;
    assert!((1..=2).contains(&left), "{rules}");

    // Added again, it lasts from then on.
    asker.expect_none(Duration::from_millis(1200), "an answer to no question", |frame| {
        answer_for(frame, TARGET).is_some()
    })?;
    scene.succeed(&["rules", "add", &target, "static", "--lifetime", "2s"])?;
    let renewed = Instant::now();
    let ended = silence_after(&mut asker, TARGET)?;
    assert!(ended - renewed > Duration::from_millis(1700), "{:?}", ended - renewed);
    assert!(ended - begun > Duration::from_millis(2900), "{:?}", ended - begun);
    assert_eq!(scene.json(&["rules", "--json"])?, serde_json::json!([]));
    scene.magpie.stop()?;
    Ok(())
}

fn rules_survive() -> Outcome {
    let folder = Folder::new()?;
    let state = folder.path("hosts.json").to_string_lossy().into_owned();
    let scene = Scene::new(RESPONDER, &["-f", &state])?;
    let mut asker = Station::new("asker", &scene.site.switch, "up")?;
    let passing = address("2001:db8:99::6");
    scene.succeed(&["rules", "add", &TARGET.to_string(), "static", "--persist"])?;
    scene.succeed(&["rules", "add", &passing.to_string(), "static", "--lifetime", "1h"])?;
    asker.expect_answers(&[TARGET, passing], &[])?;

    scene.magpie.signal(Signal::HUP)?;
    scene.succeed(&["reload"])?;
    asker.expect_answers(&[TARGET, passing], &[])?;

    fs::write(&scene.file, "[[responder]]\nlinks = [\"wan\"]\nlinkz = 3\n")?;
    let output = scene.view(&["reload"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("\nerror: unknown key `linkz`"), "{complaint}");
    assert!(complaint.contains("\n3 | linkz = 3\n  | ^^^^^"), "{complaint}");
    asker.expect_answers(&[TARGET, passing], &[])?;
    fs::write(&scene.file, RESPONDER)?;

    // A crash must not lose it either.
    let Scene { site, folder, file, magpie } = scene;
    magpie.kill()?;
    let magpie = Magpie::run(&site.gateway, ["-c", &file, "-f", &state])?;
    let scene = Scene { site, folder, file, magpie };
    asker.expect_answers(&[TARGET], &[passing])?;
    let rules = scene.json(&["rules", "--json"])?;
    assert_eq!(rules[0]["persist"], true, "{rules}");
    assert_eq!(rules.as_array().map(Vec::len), Some(1), "{rules}");
    scene.succeed(&["rules", "remove", &TARGET.to_string()])?;

    let Scene { site, folder, file, magpie } = scene;
    magpie.stop()?;
    let magpie = Magpie::run(&site.gateway, ["-c", &file, "-f", &state])?;
    let scene = Scene { site, folder, file, magpie };
    assert_eq!(scene.json(&["rules", "--json"])?, serde_json::json!([]));
    scene.magpie.stop()?;
    Ok(())
}

fn rules_that_cannot_be_are_refused() -> Outcome {
    let scene = Scene::new(RESPONDER, &[])?;
    for (arguments, expected) in [
        (&["2001:db8:99::5", "static", "--on", "wann"][..], "did you mean 'wan'?"),
        (&["2001:db8:99::5", "static", "--relay", "edg"], "did you mean 'edge'?"),
        (&["2001:db8:99::5/64", "route"], "did you mean `2001:db8:99::/64`?"),
        (&["2001:db8:99::/64", "static"], "--i-own-this-prefix"),
        (&["2001:db8:99::5", "static", "--persist"], "state-file"),
        (&["2001:db8:99::5", "probe", "--to", "lan"], "lan"),
    ] {
        let arguments = [&["rules", "add"], arguments].concat();
        let output = scene.view(&arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {complaint}");
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    assert_eq!(scene.json(&["rules", "--json"])?, serde_json::json!([]));
    scene.magpie.stop()?;
    Ok(())
}

fn several_rules_or_none() -> Outcome {
    let scene = Scene::new(RESPONDER, &[])?;
    let mut asker = Station::new("asker", &scene.site.switch, "up")?;
    let mut client = Client::connect(&scene.magpie.control())?;
    let rule = |prefix: &str| NewRule {
        relay: None,
        prefix: prefix.to_owned(),
        method: RuleMethod::Static,
        on: Vec::new(),
        to: Vec::new(),
        i_own_this_prefix: false,
    };
    let request = |prefixes: &[&str]| AddRules {
        owner: "hook".to_owned(),
        rules: prefixes.iter().map(|prefix| rule(prefix)).collect(),
        ..AddRules::default()
    };
    let refused = client.add_rules(&request(&["2001:db8:99::5", "2001:db8:99::/64"]));
    let Err(ClientError::RuleRefused { reason, index: Some(1) }) = refused else {
        return Err(format!("{refused:?}").into());
    };
    assert!(reason.starts_with("rule 2: static would answer"), "{reason}");
    assert_eq!(client.rules()?, []);
    asker.expect_answers(&[], &[TARGET])?;

    let other = address("2001:db8:99::6");
    let added = client.add_rules(&request(&["2001:db8:99::5", "2001:db8:99::6"]))?;
    assert_eq!((added.added, added.renewed), (2, 0));
    asker.expect_answers(&[TARGET, other], &[])?;
    let added = client.add_rules(&request(&["2001:db8:99::6", "2001:db8:99::7"]))?;
    assert_eq!((added.added, added.renewed), (1, 1));
    let prefix = Some("2001:db8:99::6/128".to_owned());
    assert_eq!(client.remove_rules(&RemoveRules { prefix, ..RemoveRules::default() })?, 1);
    let owner = Some("hook".to_owned());
    assert_eq!(client.remove_rules(&RemoveRules { owner, ..RemoveRules::default() })?, 2);
    scene.magpie.stop()?;
    Ok(())
}

fn targets_are_shown() -> Outcome {
    let configuration =
        format!("{RESPONDER}[[responder.rule]]\nprefix = \"{TARGET}\"\nmethod = \"static\"\n");
    let scene = Scene::new(&configuration, &[])?;
    let mut asker = Station::new("asker", &scene.site.switch, "up")?;
    let unknown = address("2001:db8:99::7");
    asker.expect_answers(&[TARGET], &[unknown])?;
    let targets = scene.json(&["targets", "--json"])?;
    let all = targets.as_array().ok_or("no list")?;
    let target = all
        .iter()
        .find(|target| target["address"] == TARGET.to_string())
        .ok_or_else(|| targets.to_string())?;
    assert_eq!((&target["relay"], &target["link"]), (&"edge".into(), &"wan".into()), "{target}");
    assert_eq!((&target["asked"], &target["answered"]), (&1.into(), &1.into()), "{target}");
    let [first, last] = ["first_seconds", "last_seconds"].map(|key| target[key].as_u64());
    assert!(first >= last && last.is_some(), "{target}");
    let text = scene.text(&["targets"])?;
    assert!(text.starts_with("ADDRESS "), "{text}");
    assert!(text.contains(&format!("{TARGET}  ")), "{text}");
    scene.magpie.stop()?;
    Ok(())
}

fn the_status_shows_relays() -> Outcome {
    let scene = Scene::new(
        "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"lan\"]\n\
         [[relay.link]]\nname = \"wan\"\nrole = \"upstream\"\n\
         [[relay.rule]]\nprefix = \"2001:db8:99::/64\"\nmethod = \"deny\"\n",
        &[],
    )?;
    scene.succeed(&["rules", "add", &host_address(0x99).to_string(), "deny", "--on", "wan"])?;
    let status = scene.json(&["status", "--json"])?;
    let expected = serde_json::json!([{
        "name": "home",
        "kind": "relay",
        "links": [
            { "name": "wan", "role": "upstream", "only_probed": false },
            { "name": "lan", "only_probed": false },
        ],
        "prefixes": ["2001:db8:7::/64"],
        "rules": 3,
    }]);
    assert_eq!(status["relays"], expected, "{status}");
    let text = scene.text(&["status"])?;
    assert!(text.contains("wan (upstream), lan"), "{text}");
    let text = scene.text(&["rules"])?;
    let sources: Vec<&str> =
        text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(5)).collect();
    assert_eq!(sources, ["added", "file", "built-in"], "{text}");
    scene.magpie.stop()?;
    Ok(())
}

fn a_watch_ends_with_the_daemon() -> Outcome {
    let scene = Scene::new(RESPONDER, &[])?;
    let mut command = Magpie::command(&scene.site.gateway)?;
    command.args(["watch", "--json", "--control"]).arg(scene.magpie.control());
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut first = String::new();
    BufReader::new(watch.stdout.as_mut().ok_or("no output")?).read_line(&mut first)?;
    let first: Value = serde_json::from_str(&first)?;
    assert_eq!(first["event"], "subscribed");
    let time = first["time"].as_str().ok_or("no time")?;
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    scene.magpie.stop()?;
    let output = watch.wait_with_output()?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "magpie: the daemon stopped\n");
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

/// Asks until nobody answers any more; tells when that was.
fn silence_after(asker: &mut Station, target: Ipv6Addr) -> Result<Instant, Box<dyn Error>> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        // The same question asked again at once would get no second answer.
        asker.collect(Duration::from_millis(50))?;
        let moment = Instant::now();
        asker.ask(target)?;
        if asker.await_answer(target, Duration::from_millis(300)).is_err() {
            return Ok(moment);
        }
    }
    Err(format!("{target} is answered for without end").into())
}

/// A site whose gateway runs the daemon from a file.
struct Scene {
    site: Site,
    folder: Folder,
    /// The path of the file.
    file: String,
    magpie: Magpie,
}

impl Scene {
    fn new(configuration: &str, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        let site = Site::new()?;
        let folder = Folder::new()?;
        let file = folder.path("magpie.toml").to_string_lossy().into_owned();
        fs::write(&file, configuration)?;
        let magpie = Magpie::run(&site.gateway, [&["-c", &file], flags].concat())?;
        Ok(Self { site, folder, file, magpie })
    }

    /// Runs a command that talks to the daemon.
    fn view(&self, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
        let mut command = Magpie::command(&self.site.gateway)?;
        Ok(command.args(arguments).arg("--control").arg(self.magpie.control()).output()?)
    }

    fn succeed(&self, arguments: &[&str]) -> Outcome {
        self.text(arguments).map(drop)
    }

    fn text(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = self.view(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.text(arguments)?)?)
    }
}

fn run(node: &Node, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    Ok(Magpie::command(node)?.args(arguments).output()?)
}

/// Runs a command with something on its standard input.
fn fed(node: &Node, arguments: &[&str], input: &[u8]) -> Result<Output, Box<dyn Error>> {
    let mut command = Magpie::command(node)?;
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}
