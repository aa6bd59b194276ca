//! Tells the story of the island, act by act, and makes it happen.

use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use magpie_config::model::Routes;
use magpie_testnet::{Error, Host, Node, Ping, PingError, Pinger};
use magpie_wire::LinkAddr;

use super::daemon::{CONTROL, Daemon};
use super::island::{Island, LINKS, PICTURE, UPSTREAM, WAN};
use super::measure::{Complaints, Disruption, FirstPings, end, resident_kib, wait_replies};
use super::report::{Report, time};
use super::stage::Stage;
use super::{DemoError, Slot};

/// The island when everything has happened, for those who want to look around.
pub(super) struct Populated {
    island: Island,
    cast: Vec<Actor>,
    control: PathBuf,
}

/// Plays all acts. The daemon is put into `slot` while it runs, and stays there if it shall be
/// kept.
pub(super) fn tell(
    stage: &Arc<Stage>,
    slot: &Slot,
    folder: &Path,
    keep: bool,
) -> Result<(Populated, Report), DemoError> {
    let mut report = Report::default();
    let island = build(stage)?;
    start_daemon(stage, &island, slot, folder)?;
    let mut cast = populate(stage, &island)?;
    meet(stage, &island, &cast, &mut report)?;
    roam(stage, &island, &mut cast, &mut report)?;
    look(stage, slot, &mut report)?;
    for node in cast.iter().map(|actor| actor.host.node()).chain([&island.upstream]) {
        let complaints = Complaints::of(node)?;
        report.icmpv6_errors += complaints.errors;
        report.redirects += complaints.redirects;
    }
    if !keep {
        stop_daemon(stage, &island, slot)?;
    }
    stage.heading("What was measured");
    report.show(stage);
    Ok((Populated { island, cast, control: folder.join(CONTROL) }, report))
}

/// Says how to look around in the island.
pub(super) fn invite(stage: &Stage, populated: &Populated) {
    let pid = std::process::id();
    // An ordinary user's namespaces are inside a user namespace that has to be entered as well.
    let user = format!("--user=/proc/{pid}/ns/user --preserve-credentials ");
    let is_inside = std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.trim_end().ends_with(&u32::MAX.to_string()));
    let user = if is_inside { user.as_str() } else { "" };
    stage.heading("The island stays until you press Ctrl-C");
    stage.show("Look around from another terminal:");
    let island = [&populated.island.upstream, &populated.island.gateway];
    for node in island.into_iter().chain(populated.cast.iter().map(|actor| actor.host.node())) {
        let fd = node.namespace().as_raw_fd();
        stage.show(&format!("{:<9} nsenter {user}--net=/proc/{pid}/fd/{fd}", node.name()));
    }
    stage
        .show(&format!("\nAsk the daemon: magpie hosts --control {}", populated.control.display()));
}

/// A host of the story.
struct Actor {
    name: &'static str,
    host: Host,
    address: Ipv6Addr,
}

fn build(stage: &Stage) -> Result<Island, Error> {
    stage.heading("The island");
    stage.show(PICTURE);
    stage.say("each machine is a network namespace of this process: a real kernel, and none of your links");
    let mut island = Island::build()?;
    stage.say("the cables are laid, the gateway forwards");
    island.advertise()?;
    let address = Island::wait_address(&island.gateway, WAN)?;
    stage.say(format_args!("the gateway heard the upstream router and has {address}"));
    Ok(island)
}

fn start_daemon(
    stage: &Arc<Stage>,
    island: &Island,
    slot: &Slot,
    folder: &Path,
) -> Result<(), DemoError> {
    stage.heading("The daemon starts on the gateway");
    stage.say(format_args!("$ magpie -i {}", LINKS.join(",")));
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    *slot = Some(Daemon::start(&island.gateway, &LINKS, folder, stage)?);
    stage.say(format_args!("it serves after {}", time(start.elapsed())));
    Ok(())
}

fn populate(stage: &Stage, island: &Island) -> Result<Vec<Actor>, Error> {
    stage.heading("Three hosts are plugged in, and configure themselves");
    let mut hosts = Vec::new();
    for (name, link, number) in CAST {
        let lladdr = LinkAddr([2, 0, 0, 0, 0, number]);
        hosts.push((name, link, island.add_host(name, link, lladdr)?));
        stage.say(format_args!("{name:<7}  is plugged into {link}, as {lladdr}"));
    }
    // Each is told about when it is ready.
    thread::scope(|scope| {
        let waiting: Vec<_> = hosts
            .into_iter()
            .map(|(name, link, host)| {
                scope.spawn(move || {
                    let address = Island::wait_address(&host, Host::LINK)?;
                    stage.say(format_args!(
                        "{name:<7}  on {link} has {address}, found no duplicate"
                    ));
                    Ok(Actor { name, host, address })
                })
            })
            .collect();
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Everybody speaks to everybody for the first time.
fn meet(stage: &Stage, island: &Island, cast: &[Actor], report: &mut Report) -> Result<(), Error> {
    stage.heading("First pings, between machines that never spoke to each other");
    let [mut inward, mut outward, mut across] = [(); 3].map(|()| FirstPings::default());
    for actor in cast {
        let result = inward.ping(&island.upstream, actor.address);
        tell_ping(stage, "upstream", actor.name, result);
    }
    stage.say("the hosts forget their neighbors, as after a quiet hour");
    for actor in cast {
        // To answer the ping, the host has asked for its neighbor already.
        actor.host.flush_neighbors(Host::LINK)?;
        let result = outward.ping(&actor.host, UPSTREAM);
        tell_ping(stage, actor.name, "upstream", result);
    }
    for (from, to) in [(LAPTOP, PRINTER), (PRINTER, PHONE)] {
        if let (Some(from), Some(to)) = (cast.get(from), cast.get(to)) {
            let result = across.ping(&from.host, to.address);
            tell_ping(stage, from.name, to.name, result);
        }
    }
    report.first_inward = inward.worst();
    report.first_outward = outward.worst();
    report.first_across = across.worst();
    for pings in [inward, outward, across] {
        report.pings += pings.sent();
        report.lost_otherwise += pings.lost();
    }
    Ok(())
}

fn tell_ping(stage: &Stage, from: &str, to: &str, result: Result<Duration, PingError>) {
    match result {
        Ok(took) => stage.say(format_args!("{from:<8} -> {to:<8}  {}", time(took))),
        Err(error) => stage.say(format_args!("{from:<8} -> {to:<8}  {error}")),
    }
}

/// A host moves to another link in the middle of conversations.
fn roam(
    stage: &Stage,
    island: &Island,
    cast: &mut [Actor],
    report: &mut Report,
) -> Result<(), Error> {
    stage.heading("The phone moves from lan1 to lan2, in the middle of a conversation");
    let ping = |from: &Node, to, interval| Pinger::start(from, &Ping::new(to), interval);
    let bystanders: Vec<Pinger> = [LAPTOP, PRINTER]
        .iter()
        .filter_map(|index| cast.get(*index))
        .map(|actor| ping(&island.upstream, actor.address, OFTEN))
        .collect::<Result<_, _>>()?;
    let Some(phone) = cast.get_mut(PHONE) else { return Ok(()) };
    let caller = ping(&island.upstream, phone.address, OFTEN)?;
    let own = ping(&phone.host, UPSTREAM, AT_TIMES)?;
    stage.say("upstream pings every host 50 times a second, the phone pings upstream 10 times");
    wait_replies(&caller, PINGS_AROUND)?;
    // Between two pings of its own: a question that the phone asks without a cable is lost, and
    // its kernel waits a second before it asks again, whoever would answer (RFC 4861 section 10).
    own.wait_reply(PATIENCE)?;

    let unplugged = Instant::now();
    phone.host.unplug()?;
    stage.say("the cable of the phone is pulled out of lan1: its kernel forgets its neighbors");
    let plugged = Instant::now();
    island.plug_into(&mut phone.host, "lan2")?;
    stage.say("the cable is plugged into lan2; the phone keeps its addresses");
    match caller.wait_reply(PATIENCE) {
        Ok(_) => stage.say("upstream hears the phone again"),
        Err(error) => stage.say(format_args!("upstream does not hear the phone: {error}")),
    }
    if own.wait_reply(PATIENCE).is_ok() {
        wait_replies(&caller, PINGS_AROUND)?;
    }

    let (caller, own) = (end(caller), end(own));
    let inward = Disruption::of(&caller, unplugged, plugged);
    let outward = Disruption::of(&own, unplugged, plugged);
    report.recovery = inward.recovery;
    report.lost_in_move = inward.lost_within + outward.lost_within;
    report.lost_otherwise += inward.lost_outside + outward.lost_outside;
    report.pings += caller.probes.len() + own.probes.len();
    if let Some(recovery) = inward.recovery {
        stage.say(format_args!(
            "it was reachable {} after it was plugged in; {} of {} pings got lost on the way",
            time(recovery),
            report.lost_in_move,
            caller.probes.len() + own.probes.len(),
        ));
    }
    for bystander in bystanders {
        let pings = end(bystander);
        report.pings += pings.probes.len();
        report.lost_otherwise += pings.lost();
    }
    Ok(())
}

/// What the daemon has to say about it.
fn look(stage: &Stage, slot: &Slot, report: &mut Report) -> Result<(), DemoError> {
    let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(daemon) = &*slot else { return Ok(()) };
    stage.heading("What the daemon knows");
    stage.say("$ magpie hosts");
    stage.show(&daemon.hosts()?);
    report.daemon_resident_kib = resident_kib(daemon.pid());
    Ok(())
}

fn stop_daemon(stage: &Stage, island: &Island, slot: &Slot) -> Result<(), DemoError> {
    let daemon = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(daemon) = daemon else { return Ok(()) };
    stage.heading("The daemon stops");
    daemon.stop()?;
    let routes = island.gateway.routes()?;
    let protocol = Routes::default().protocol;
    let left = routes.iter().filter(|route| route.protocol == protocol).count();
    stage.say(format_args!("it left {left} routes behind"));
    Ok(())
}

/// Name, link, last octet of the link-layer address.
const CAST: [(&str, &str, u8); 3] =
    [("laptop", "lan1", 0x21), ("phone", "lan1", 0x22), ("printer", "lan2", 0x23)];
const LAPTOP: usize = 0;
const PHONE: usize = 1;
const PRINTER: usize = 2;
const OFTEN: Duration = Duration::from_millis(20);
const AT_TIMES: Duration = Duration::from_millis(100);
/// How many pings are sent in peace before and after a move.
const PINGS_AROUND: usize = 25;
const PATIENCE: Duration = Duration::from_secs(10);
