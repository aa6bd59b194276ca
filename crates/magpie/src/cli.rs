//! Reads the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ipnet::Ipv6Net;
use magpie_config::model::{Role, Selector};
use magpie_config::value::{self, ValueError, check_prefix, check_selector};
use magpie_engine::NaSource;

/// Where the control socket is unless the command line says otherwise.
pub(crate) const DEFAULT_CONTROL: &str = "/run/magpie/magpie.sock";

/// Where the configuration is unless the command line says otherwise.
pub(crate) const DEFAULT_FILE: &str = "/etc/magpie/magpie.toml";

/// Makes several links behave as one IPv6 subnet: relays Neighbor Discovery between them and
/// keeps a route to each host. Or answers Neighbor Solicitations as rules in a file say.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "magpie -i <LINK,LINK[,...]> [OPTIONS]\n       magpie -u <LINK> -d <LINK> [OPTIONS]\n       magpie run [-c FILE] [OPTIONS]\n       magpie <COMMAND>",
    after_help = "Examples:\n  magpie -i wan,br-lan -f /var/lib/magpie/hosts.json\n  magpie -u wlan0 -d eth0 --mdns"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do instead of running the daemon from flags alone.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon from a configuration file
    Run(RunArgs),
    /// Show all mistakes in a configuration, or what it comes to on this machine
    Check(CheckArgs),
    /// Turn the configuration of another program into one for `magpie run`
    Import(ImportArgs),
    /// Show the links, the counters and what is wrong
    Status(ViewArgs),
    /// Show the hosts that are known, and where they are
    Hosts(ViewArgs),
    /// Show the names that were seen, where, and on which links they can be seen from there
    Names(NamesArgs),
    /// Show the host routes, and which host each is for
    Routes(ViewArgs),
    /// Show which addresses were asked for, and which of them were answered for
    Targets(ViewArgs),
    /// Show the rules; add and remove rules while the daemon runs
    Rules(RulesArgs),
    /// Print what happens, as it happens, until interrupted
    #[command(visible_alias = "events")]
    Watch(ViewArgs),
    /// Tell neighbors anew which addresses are answered for here, after a takeover
    Announce(AnnounceArgs),
    /// Read the configuration again; save the routes, and read links, addresses and routes anew
    Reload(ControlArgs),
    /// Show what magpie does, on a network of its own that touches no other (needs no daemon)
    Demo(DemoArgs),
}

/// How the daemon shall run from a file.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Configuration file; files `conf.d/*.toml` beside it refine it
    /// [default: /etc/magpie/magpie.toml]
    #[arg(short, long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,

    /// Read the configuration file of another program
    #[arg(long, value_name = "PROGRAM", value_enum, help_heading = "Configuration")]
    pub(crate) compat: Option<Foreign>,

    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// A program whose configuration files are understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Foreign {
    /// npd6 1.1; its file is /etc/npd6.conf unless another is given
    Npd6,
    /// ndppd 0.2 and 1.0; its file is /etc/ndppd.conf unless another is given
    Ndppd,
}

/// What to check, and what to show of it.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The configuration file, as with -c
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    /// Print the configuration that results, as a file
    #[arg(long)]
    pub(crate) print: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What to turn into a configuration.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) origin: Origin,
}

/// Where a configuration comes from.
#[derive(Debug, Subcommand)]
pub(crate) enum Origin {
    /// A configuration file of npd6
    Npd6(ForeignFile),
    /// A configuration file of ndppd, 0.2 or 1.0
    Ndppd(ForeignFile),
    /// The reflector in a configuration file of avahi-daemon
    Avahi(ForeignFile),
    /// A command line of the C++ program magpie
    Magpie(ForeignArguments),
}

/// A file to import.
#[derive(Args, Debug)]
pub(crate) struct ForeignFile {
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// A command line to import.
#[derive(Args, Debug)]
pub(crate) struct ForeignArguments {
    /// The arguments, such as "-i wan,lan -a 5"; `-` reads them from standard input
    #[arg(
        value_name = "ARGS",
        required = true,
        allow_hyphen_values = true,
        trailing_var_arg = true
    )]
    pub(crate) arguments: Vec<String>,
}

/// Where to announce what.
#[derive(Args, Debug)]
pub(crate) struct AnnounceArgs {
    /// Only on this link, named as in the configuration or by its device [default: all links]
    #[arg(value_name = "LINK")]
    pub(crate) link: Option<String>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// What to do with rules.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(subcommand)]
    pub(crate) command: Option<RulesCommand>,
}

/// What to do with rules of a running daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Show the rules, in the order in which they count
    List(ViewArgs),
    /// Add a rule; it replaces one of the same owner for the same prefix and links
    Add(AddArgs),
    /// Remove rules that were added while the daemon runs
    Remove(RemoveArgs),
}

/// A rule to add.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// The targets: a prefix, an address, or `auto` for the prefixes of the relay
    #[arg(value_name = "PREFIX")]
    pub(crate) prefix: String,

    /// What to do about them
    #[arg(value_name = "METHOD", value_enum)]
    pub(crate) method: Method,

    /// Relay or responder that is to follow the rule; not needed where there is only one, or where
    /// the links tell
    #[arg(long, value_name = "NAME")]
    pub(crate) relay: Option<String>,

    /// Links whose questions it is for [default: all]
    #[arg(long, value_name = "LINK,...", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub(crate) on: Vec<String>,

    /// Links to look for the target on, for `probe` [default: all but the asking one]
    #[arg(long, value_name = "LINK,...", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to: Vec<String>,

    /// Whose rule it is, to find it again
    #[arg(long, value_name = "TAG", default_value = "manual")]
    pub(crate) owner: String,

    /// How long it is in force, such as 90s, 30m, 1h or 7d [default: until it is removed or the
    /// daemon ends]
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    pub(crate) lifetime: Option<Duration>,

    /// Keep it when the daemon starts again (needs a state file)
    #[arg(long)]
    pub(crate) persist: bool,

    /// Answering for every address of a prefix shorter than /120 is meant (for `static`)
    #[arg(long)]
    pub(crate) i_own_this_prefix: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Which rules to remove: those that match everything given.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").args(["prefix", "owner"]).required(true).multiple(true)))]
pub(crate) struct RemoveArgs {
    /// The prefix, address or `auto` of the rules
    #[arg(value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,

    /// Whose rules
    #[arg(long, value_name = "TAG")]
    pub(crate) owner: Option<String>,

    /// Of which relay or responder [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) relay: Option<String>,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Method {
    /// Answer at once, whether or not the target exists; makes no route
    Static,
    /// Answer if the kernel routes the target out of another link; makes no route
    Route,
    /// Look for the target on other links first
    Probe,
    /// Stay silent
    Deny,
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

/// Which names to show, and how.
#[derive(Args, Debug)]
pub(crate) struct NamesArgs {
    /// Only names, or data, with this in them; upper and lower case are the same
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// What the command line says about the daemon; what it does not say is left to the file, or to
/// the defaults.
#[derive(Args, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flags {
    /// Links to join into one subnet: interfaces by name, `'veth*'`, `kind:wireguard` or
    /// `master:vrf-blue`. They need not exist yet; those that come are taken, those that go
    /// released
    #[arg(
        short,
        long,
        value_name = "LINK,LINK[,...]",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Links"
    )]
    pub(crate) interfaces: Vec<String>,

    /// Links where the real router is, besides those of -i; only these show what the subnet is
    #[arg(
        short,
        long,
        value_name = "LINK,...",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Links"
    )]
    pub(crate) upstream: Vec<String>,

    /// Links where the added hosts are, besides those of -i
    #[arg(
        short,
        long,
        value_name = "LINK,...",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Links"
    )]
    pub(crate) downstream: Vec<String>,

    /// Let names cross between the links (`.local`: multicast DNS and DNS-SD)
    #[arg(long, help_heading = "Names")]
    pub(crate) mdns: bool,

    /// Leave Neighbor Discovery alone: nothing but names crosses, and no routes are made
    #[arg(long, help_heading = "Names")]
    pub(crate) no_ndp: bool,

    /// Prefix of the subnet; may be given several times. Without one, the prefixes of the links'
    /// addresses and of Router Advertisements heard on them are taken
    #[arg(long = "prefix", value_name = "PREFIX/LEN", value_parser = parse_prefix, help_heading = "Links")]
    pub(crate) prefixes: Vec<Ipv6Net>,

    /// Time that maintenance which is due may wait for company [default: 10]
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=3600),
        help_heading = "Timing"
    )]
    pub(crate) alarm_interval: Option<u32>,

    /// Silence after which a host is probed, and time between its probes [default: 60]
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=86_400),
        help_heading = "Timing"
    )]
    pub(crate) probe_interval: Option<u32>,

    /// Unanswered probes after which a host is forgotten [default: 5]
    #[arg(
        short = 'r',
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u8).range(1..=100),
        help_heading = "Timing"
    )]
    pub(crate) probe_retries: Option<u8>,

    /// Longest random delay before an answer; with several proxies side by side, up to 1000
    /// [default: 0]
    #[arg(
        long,
        value_name = "MILLISECONDS",
        value_parser = clap::value_parser!(u16).range(0..=1000),
        help_heading = "Timing"
    )]
    pub(crate) answer_delay: Option<u16>,

    /// Address that answers come from [default: link-local]
    #[arg(long, value_name = "WHICH", value_enum, help_heading = "Answers")]
    pub(crate) na_source: Option<NaSourceArg>,

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

    /// How much to tell [default: info]
    #[arg(short, long, value_name = "LEVEL", value_enum, help_heading = "System")]
    pub(crate) log_level: Option<Level>,
}

/// What the daemon runs from: flags alone, or a file that flags refine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Launch {
    /// The file, unless flags alone say everything.
    pub(crate) file: Option<ConfigFile>,
    /// What the command line says.
    pub(crate) flags: Flags,
}

/// A configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ConfigFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The program that it was written for, if that is another.
    pub(crate) compat: Option<Foreign>,
    /// The command line does not name it.
    pub(crate) is_default: bool,
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
        if let Err((kind, complaint)) = cli.check() {
            Self::command().error(kind, complaint).exit();
        }
        cli
    }

    /// What a command line without a command asks for.
    pub(crate) fn launch(&self) -> Launch {
        Launch { file: None, flags: self.flags.clone() }
    }

    /// What clap does not see.
    fn check(&self) -> Result<(), (ErrorKind, String)> {
        let flags = match &self.command {
            None if !self.flags.names_links() => {
                let complaint = "the following required arguments were not provided:\n  \
                     --interfaces <LINK,LINK[,...]>\n\n\
                     To run from a configuration file: magpie run";
                return Err((ErrorKind::MissingRequiredArgument, complaint.to_owned()));
            }
            None if self.flags.no_ndp && !self.flags.mdns => {
                let complaint = "without Neighbor Discovery there is nothing to do: --no-ndp is for \
                                 --mdns alone";
                return Err((ErrorKind::MissingRequiredArgument, complaint.to_owned()));
            }
            None => &self.flags,
            Some(Command::Run(args)) => &args.flags,
            Some(Command::Check(args)) => &args.run.flags,
            Some(_) => return Ok(()),
        };
        flags.check().map_err(|complaint| (ErrorKind::ValueValidation, complaint))
    }
}

impl CheckArgs {
    /// What the daemon would be asked for.
    pub(crate) fn launch(&self) -> Launch {
        let config = self.file.clone().or_else(|| self.run.config.clone());
        RunArgs { config, ..self.run.clone() }.launch()
    }
}

impl RunArgs {
    /// What it asks for.
    pub(crate) fn launch(&self) -> Launch {
        let path = self.config.clone().unwrap_or_else(|| {
            PathBuf::from(match self.compat {
                None => DEFAULT_FILE,
                Some(Foreign::Npd6) => "/etc/npd6.conf",
                Some(Foreign::Ndppd) => "/etc/ndppd.conf",
            })
        });
        let file = ConfigFile { path, compat: self.compat, is_default: self.config.is_none() };
        Launch { file: Some(file), flags: self.flags.clone() }
    }
}

impl Flags {
    /// What only several values together show to be wrong.
    fn check(&self) -> Result<(), String> {
        for list in [&self.interfaces, &self.upstream, &self.downstream] {
            for (index, name) in list.iter().enumerate() {
                check_name(name)?;
                if list.iter().take(index).any(|earlier| earlier == name) {
                    return Err(format!("the interface '{name}' is given twice"));
                }
            }
        }
        if let Some(name) = self.upstream.iter().find(|name| self.downstream.contains(name)) {
            return Err(format!("'{name}' cannot be both upstream and downstream"));
        }
        if let [only] = self.links().as_slice()
            && !Selector::of(only).is_plural()
        {
            let example = if self.upstream.is_empty() && self.downstream.is_empty() {
                format!("-i {only},br-lan")
            } else if self.downstream.is_empty() {
                format!("-u {only} -d br-lan")
            } else {
                format!("-u wan -d {only}")
            };
            return Err(format!(
                "'{only}' alone is no relay: give two or more interfaces, as in '{example}'"
            ));
        }
        Ok(())
    }

    /// Whether it says which links there are.
    pub(crate) fn names_links(&self) -> bool {
        !(self.interfaces.is_empty() && self.upstream.is_empty() && self.downstream.is_empty())
    }

    /// All links that it names, each once: first those upstream.
    pub(crate) fn links(&self) -> Vec<&str> {
        let mut links: Vec<&str> = Vec::new();
        for name in self.upstream.iter().chain(&self.downstream).chain(&self.interfaces) {
            if !links.contains(&name.as_str()) {
                links.push(name);
            }
        }
        links
    }

    /// Where it says that a link lies.
    pub(crate) fn role(&self, name: &str) -> Option<Role> {
        let is_among = |list: &[String]| list.iter().any(|other| other == name);
        if is_among(&self.upstream) {
            Some(Role::Upstream)
        } else {
            is_among(&self.downstream).then_some(Role::Downstream)
        }
    }
}

impl From<NaSourceArg> for NaSource {
    fn from(source: NaSourceArg) -> Self {
        match source {
            NaSourceArg::LinkLocal => Self::LinkLocal,
            NaSourceArg::Global => Self::Global,
            NaSourceArg::Target => Self::Target,
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let told = |error: ValueError| format!("'{name}' names no link: {}", in_a_line(&error));
    check_selector(name).map_err(told)
}

fn parse_prefix(text: &str) -> Result<Ipv6Net, String> {
    let net = value::prefix(text).map_err(|error| in_a_line(&error))?;
    check_prefix(net).map(|()| net).map_err(|error| in_a_line(&error))
}

/// Reads how long a rule is in force, in whole seconds.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = value::duration(text).map_err(|error| in_a_line(&error))?;
    if lifetime < Duration::from_secs(1) {
        return Err("a rule is in force for one second at least".to_owned());
    }
    if lifetime > LONGEST_LIFETIME {
        return Err("that is more than ten years: leave it out for no end at all".to_owned());
    }
    Ok(lifetime)
}

/// All that is said about a value, without the place in it.
pub(crate) fn in_a_line(error: &ValueError) -> String {
    let parts = [Some(&error.message), Some(&error.label), error.help.as_ref()];
    let told = parts.into_iter().flatten().filter(|part| !part.is_empty());
    told.map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// Ten years: whoever wants more wants no end.
pub(crate) const LONGEST_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use clap::Arg;
    use magpie_engine::Timing;

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
            "magpie -i wan,br-lan -f /var/lib/magpie/hosts.json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(cli.flags.interfaces, ["wan", "br-lan"], "{line}");
            assert_eq!(cli.check(), Ok(()), "{line}");
        }
    }

    #[test]
    fn links_may_be_named_together() {
        for (line, expected) in [
            ("magpie -i wan,veth*", &["wan", "veth*"][..]),
            ("magpie -i veth*", &["veth*"]),
            ("magpie -i kind:veth", &["kind:veth"]),
            ("magpie run -i wan,master:vrf-blue,tap?", &["wan", "master:vrf-blue", "tap?"]),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(cli.check(), Ok(()), "{line}");
            let flags = match &cli.command {
                Some(Command::Run(args)) => &args.flags,
                _ => &cli.flags,
            };
            assert_eq!(flags.interfaces, expected, "{line}");
        }
    }

    #[test]
    fn links_may_be_given_by_where_they_lie() {
        for (line, expected) in [
            ("magpie -u wlan0 -d eth0 --mdns", &["wlan0", "eth0"][..]),
            ("magpie -d eth0,eth1 --upstream=wlan0", &["wlan0", "eth0", "eth1"]),
            ("magpie -i a,b -u b -d c -d d", &["b", "c", "d", "a"]),
            ("magpie -d veth*", &["veth*"]),
            ("magpie -i a,b --mdns --no-ndp", &["a", "b"]),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(cli.check(), Ok(()), "{line}");
            assert_eq!(cli.flags.links(), expected, "{line}");
        }
        let cli =
            Cli::try_parse_from("magpie -i a,b -u b -d c".split(' ')).expect("a command line");
        let roles = ["a", "b", "c"].map(|name| cli.flags.role(name));
        assert_eq!(roles, [None, Some(Role::Upstream), Some(Role::Downstream)]);
    }

    #[test]
    fn the_defaults_in_the_help_are_those_of_the_engine() {
        let Timing { alarm_interval, probe_interval, probe_retries, .. } = Timing::default();
        let command = Cli::command();
        for (name, default) in [
            ("alarm_interval", alarm_interval.as_secs()),
            ("probe_interval", probe_interval.as_secs()),
            ("probe_retries", probe_retries.into()),
        ] {
            let argument = command.get_arguments().find(|argument| argument.get_id() == name);
            let help = argument.and_then(Arg::get_help).expect(name).to_string();
            assert!(help.ends_with(&format!(" [default: {default}]")), "{help}");
        }
    }

    #[test]
    fn a_file_is_read_only_when_it_is_asked_for() {
        let launch = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(cli.check(), Ok(()), "{line}");
            match cli.command {
                None => cli.launch(),
                Some(Command::Run(args)) => args.launch(),
                Some(Command::Check(args)) => args.launch(),
                Some(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(launch("magpie -i a,b").file, None);
        for (line, path, compat, is_default) in [
            ("magpie run", DEFAULT_FILE, None, true),
            ("magpie run -c x.toml", "x.toml", None, false),
            ("magpie check --print --config x.toml -i a,b", "x.toml", None, false),
            ("magpie check x.toml", "x.toml", None, false),
            ("magpie check --compat ndppd x -i a,b", "x", Some(Foreign::Ndppd), false),
            ("magpie run --compat npd6", "/etc/npd6.conf", Some(Foreign::Npd6), true),
            ("magpie run --compat ndppd", "/etc/ndppd.conf", Some(Foreign::Ndppd), true),
            ("magpie run --compat ndppd -c x -l debug", "x", Some(Foreign::Ndppd), false),
        ] {
            let file = ConfigFile { path: path.into(), compat, is_default };
            assert_eq!(launch(line).file, Some(file), "{line}");
        }
        assert_eq!(launch("magpie run -c x").flags, Flags::default());
        assert_eq!(launch("magpie run -p 5").flags.probe_interval, Some(5));
    }

    #[test]
    fn rules_are_written_as_people_think_of_them() {
        let line = "magpie rules add 2001:db8::/64 probe --on wan,dsl --to lan --lifetime 1h";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Rules(RulesArgs { command: Some(RulesCommand::Add(args)), .. })) =
            cli.command
        else {
            panic!("{cli:?}")
        };
        assert_eq!((args.prefix.as_str(), args.method), ("2001:db8::/64", Method::Probe));
        assert_eq!((args.on, args.to), (vec!["wan".into(), "dsl".into()], vec!["lan".into()]));
        assert_eq!((args.owner.as_str(), args.lifetime), ("manual", Some(Duration::from_hours(1))));
        for line in [
            "magpie rules",
            "magpie rules --json",
            "magpie rules list --json --control /tmp/x",
            "magpie rules remove auto --control /tmp/x",
            "magpie rules remove --owner docker --relay home",
            "magpie rules remove 2001:db8::1 --owner docker",
            "magpie targets --json",
            "magpie names",
            "magpie names --json pi-41",
            "magpie events",
            "magpie events --json --control /tmp/x",
            "magpie routes --json",
            "magpie announce",
            "magpie announce wan --control /run/other.sock",
            "magpie import magpie -i a,b",
            "magpie import avahi /etc/avahi/avahi-daemon.conf",
            "magpie import magpie -",
        ] {
            Cli::try_parse_from(line.split(' ')).expect(line);
        }
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
            ("magpie -i", "--interfaces"),
            ("magpie -i a,,b", "--interfaces"),
            ("magpie -i a,b -p 0", "--probe-interval"),
            ("magpie -i a,b -l loud", "possible values"),
            ("magpie -i a,b --prefix ::/0", "16 or more"),
            ("magpie -i a,b --prefix 2001:db8::1/64", "did you mean `2001:db8::/64`"),
            ("magpie -i a,b --prefix fe80::/64", "link-local"),
            ("magpie -i a,b --prefix 10.0.0.0/8", "IPv4"),
            ("magpie -i a,b --answer-delay 1001", "--answer-delay"),
            ("magpie run --compat radvd", "possible values"),
            ("magpie rules add", "<PREFIX>"),
            ("magpie rules add auto", "<METHOD>"),
            ("magpie rules add auto guess", "possible values"),
            ("magpie rules add auto static --lifetime 1", "`1s` if these are seconds"),
            ("magpie rules add auto static --lifetime 0s", "one second at least"),
            ("magpie rules add auto static --lifetime 10ms", "one second at least"),
            ("magpie rules add auto static --lifetime 4000d", "ten years"),
            ("magpie rules remove", "--owner"),
            ("magpie rules remove --relay home", "--owner"),
            ("magpie import", "npd6"),
            ("magpie check x.toml -c y.toml", "cannot be used with"),
            ("magpie help", "Usage: magpie"),
            ("magpie help check", "[FILE]"),
            ("magpie rules help add", "--lifetime"),
        ];
        for (line, expected) in cases {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line).to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn combinations_that_make_no_relay_are_refused() {
        let cases = [
            ("magpie", "--interfaces"),
            ("magpie -i wan", "two or more"),
            ("magpie run -i wan", "two or more"),
            ("magpie check -i wan,wan", "twice"),
            ("magpie -i wan,wan", "twice"),
            ("magpie -i lo,wan", "loopback"),
            ("magpie -i wan,a-name-that-is-too-long", "at most 15"),
            ("magpie -i wan,a/b", "'/'"),
            ("magpie -i wan,*", "any interface"),
            ("magpie -i veth*,veth*", "twice"),
            ("magpie -i wan,kind:", "kind:wireguard"),
            ("magpie -i wan,knd:veth", "did you mean `kind:veth`"),
            ("magpie --mdns", "--interfaces"),
            ("magpie -i wan,lan --no-ndp", "--no-ndp is for --mdns alone"),
            ("magpie -u wan", "-u wan -d br-lan"),
            ("magpie -d lan -i lan", "-u wan -d lan"),
            ("magpie run -u wan,wan -d lan", "twice"),
            ("magpie -u wan -d wan", "both upstream and downstream"),
            ("magpie -u wan -d a/b", "'/'"),
        ];
        for (line, expected) in cases {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            let (_, complaint) = cli.check().expect_err(line);
            assert!(complaint.contains(expected), "{line}: {complaint}");
        }
    }
}
