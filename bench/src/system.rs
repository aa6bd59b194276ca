//! The systems under test, and how each is started to do the same job.

use std::path::Path;
use std::process::Command;

use crate::avahi;
use crate::daemon::{Daemon, Folder};
use crate::error::BenchError;
use crate::lab::{LAN, LAN_ADDRESS, Lab, Layout, WAN, WAN_ADDRESS};
use crate::programs::Programs;
use crate::targets::{PREFIX, PREFIX_LEN};

/// A system under test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum System {
    /// Magpie.
    Magpie,
    /// The smallest program that forwards and learns.
    Reference(Routes),
    /// The smallest program that answers for a whole prefix.
    Responder,
    /// ndppd, with an `iface` or a `static` rule.
    Ndppd,
    /// npd6, which answers for a whole prefix.
    Npd6,
    /// avahi-daemon, which reflects names.
    Avahi,
    /// Magpie on one gateway, and avahi-daemon on another beside it.
    MagpieBesideAvahi,
}

/// What a system is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Job {
    /// Find the hosts inside, and answer for those that are there. npd6 answers for all.
    Relay,
    /// Answer for the whole prefix at once.
    Answer,
    /// Pass names on between the links, and nothing else.
    Reflect,
}

/// What the reference proxy does about host routes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Routes {
    /// Installs them one at a time and waits for the kernel's word before it answers.
    Acknowledged,
    /// Installs those of one turn of its loop together and does not wait.
    Batched,
    /// Installs none.
    None,
}

impl System {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 9] = [
        Self::Magpie,
        Self::Reference(Routes::Acknowledged),
        Self::Reference(Routes::Batched),
        Self::Reference(Routes::None),
        Self::Responder,
        Self::Ndppd,
        Self::Npd6,
        Self::Avahi,
        Self::MagpieBesideAvahi,
    ];

    /// Its name in tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Magpie => "magpie",
            Self::Reference(Routes::Acknowledged) => "reference-ack",
            Self::Reference(Routes::Batched) => "reference-batch",
            Self::Reference(Routes::None) => "reference-none",
            Self::Responder => "reference-epoll",
            Self::Ndppd => "ndppd",
            Self::Npd6 => "npd6",
            Self::Avahi => "avahi",
            Self::MagpieBesideAvahi => "magpie+avahi",
        }
    }

    /// Whether it can ask the hosts inside, rather than answering for all of the prefix.
    pub(crate) const fn learns(self) -> bool {
        !matches!(self, Self::Npd6 | Self::Responder | Self::Avahi | Self::MagpieBesideAvahi)
    }

    /// Whether it can answer for all of the prefix.
    pub(crate) const fn answers_unasked(self) -> bool {
        !matches!(self, Self::Reference(_) | Self::Avahi | Self::MagpieBesideAvahi)
    }

    /// Whether it passes names on.
    pub(crate) const fn reflects(self) -> bool {
        matches!(self, Self::Magpie | Self::Avahi)
    }

    /// What passes names on if two gateways do so side by side.
    pub(crate) const fn pair(self) -> Option<[Self; 2]> {
        match self {
            Self::Magpie | Self::Avahi => Some([self, self]),
            Self::MagpieBesideAvahi => Some([Self::Magpie, Self::Avahi]),
            _ => None,
        }
    }

    /// Whether it sends through the kernel's IPv6, which keeps a neighbor entry for each group that
    /// is sent to. All namespaces of a machine share the room for them (`gc_thresh3`, 1024).
    pub(crate) const fn takes_neighbor_entries(self) -> bool {
        matches!(self, Self::Ndppd)
    }

    /// Where the router's kernel believes the prefix to be when this system does this.
    pub(crate) const fn layout(self, job: Job) -> Layout {
        match job {
            Job::Relay if self.learns() => Layout::Inside,
            Job::Relay | Job::Answer | Job::Reflect => Layout::Upstream,
        }
    }

    /// Whether its program is here.
    pub(crate) fn is_here(self, programs: &Programs) -> bool {
        self.program(programs).is_some()
    }

    /// Starts it on the router of `lab`.
    pub(crate) fn start(
        self,
        job: Job,
        programs: &Programs,
        lab: &Lab,
    ) -> Result<Daemon, BenchError> {
        let folder = Folder::new()?;
        let mut command = Command::new(self.program(programs).unwrap_or(Path::new(self.name())));
        let prefix = format!("{PREFIX}/{PREFIX_LEN}");
        match (self, job) {
            (Self::Magpie, Job::Relay) => {
                command
                    .args(["--interfaces", &format!("{WAN},{LAN}")])
                    .args(["--prefix", &prefix])
                    .arg("--control")
                    .arg(folder.path().join("control"))
                    .args(["--log-level", "warning"]);
            }
            (Self::Magpie, Job::Reflect) => {
                command
                    .args(["--interfaces", &format!("{WAN},{LAN}")])
                    .args(["--mdns", "--no-ndp", "--control"])
                    .arg(folder.path().join("control"))
                    .args(["--log-level", "warning"]);
            }
            (Self::Avahi | Self::MagpieBesideAvahi, _) => {
                if let Some(files) = &programs.avahi {
                    avahi::prepare(&mut command, files, &folder)?;
                }
            }
            (Self::Magpie, Job::Answer) => {
                let configuration = format!(
                    "[[responder]]\nlinks = [\"{WAN}\"]\n\n[[responder.rule]]\n\
                     prefix = \"{prefix}\"\nmethod = \"static\"\ni-own-this-prefix = true\n"
                );
                command
                    .args(["run", "-c"])
                    .arg(folder.write("magpie.toml", &configuration)?)
                    .arg("--control")
                    .arg(folder.path().join("control"))
                    .args(["--log-level", "warning"]);
            }
            (Self::Reference(routes), _) => {
                command
                    .args(["--outer", WAN, "--outer-addr", &WAN_ADDRESS.to_string()])
                    .args(["--inner", LAN, "--inner-addr", &LAN_ADDRESS.to_string()])
                    .args(["--prefix", &PREFIX.to_string()])
                    .args(["--routes", routes.option()]);
            }
            (Self::Responder, _) => {
                command
                    .args(["--dev", WAN, "--addr", &WAN_ADDRESS.to_string()])
                    .args(["--prefix", &PREFIX.to_string()]);
            }
            (Self::Ndppd, _) => {
                let method = match job {
                    Job::Relay => format!("iface {LAN}"),
                    Job::Answer | Job::Reflect => "static".to_owned(),
                };
                let configuration = format!(
                    "route-ttl 30000\nproxy {WAN} {{\n  router yes\n  timeout 500\n  ttl 30000\n  \
                     rule {prefix} {{\n    {method}\n  }}\n}}\n"
                );
                command.arg("-c").arg(folder.write("ndppd.conf", &configuration)?);
            }
            (Self::Npd6, _) => {
                let [a, b, c, d, ..] = PREFIX.segments();
                let configuration = format!(
                    "prefix={a:x}:{b:x}:{c:x}:{d:x}:\ninterface={WAN}\nralogging=off\n\
                     listtype=none\nlistlogging=off\ncollectTargets=100\nlinkOption=false\n\
                     ignoreLocal=true\nrouterNA=true\nmaxHops=255\npollErrorLimit=20\n"
                );
                let log = folder.path().join("npd6.log");
                command.arg("-f").arg("-c").arg(folder.write("npd6.conf", &configuration)?);
                command.arg("-l").arg(log);
            }
        }
        Daemon::start(self.name(), command, folder, lab)
    }

    fn program(self, programs: &Programs) -> Option<&Path> {
        match self {
            Self::Magpie => Some(&programs.magpie),
            Self::Reference(_) => Some(&programs.proxy),
            Self::Responder => Some(&programs.responder),
            Self::Ndppd => programs.ndppd.as_deref(),
            Self::Npd6 => programs.npd6.as_deref(),
            Self::Avahi | Self::MagpieBesideAvahi => {
                programs.avahi.as_ref().map(|files| files.program.as_path())
            }
        }
    }
}

impl Routes {
    const fn option(self) -> &'static str {
        match self {
            Self::Acknowledged => "ack",
            Self::Batched => "batch",
            Self::None => "none",
        }
    }
}
