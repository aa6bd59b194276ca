//! Asks a running daemon; blocks until the answer is there.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::{
    ADD_RULES, ANNOUNCE, BUSY, Call, HOSTS, INVALID_PARAMETER, METHOD_NOT_FOUND, NAMES,
    NO_SUCH_LINK, RELOAD, RELOAD_FAILED, REMOVE_RULES, ROUTES, RULE_REFUSED, RULES, Reply, STATUS,
    TARGETS, WATCH,
};
use crate::frame::{Decoder, encode};
use crate::message::{
    AddRules, AddedRules, Announce, Announced, Event, EventKind, Host, HostRoute, Name,
    RemoveRules, Rule, RuleRefusal, Status, Target,
};
use crate::server::MAX_REQUEST;

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    path: PathBuf,
}

/// The events of the daemon, from the moment of asking on; waits for each as long as it takes.
///
/// Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    ended: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon listens on {path}; is magpie running, and with this --control path?")]
    NotRunning {
        /// Where it was looked for.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("no permission to use {path}; try again as root")]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Connecting failed otherwise.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("lost the connection to the daemon on {path}")]
    Lost {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon does not answer in time.
    #[error("the daemon on {path} gave no answer within {} seconds", TIMEOUT.as_secs())]
    Timeout {
        /// The socket.
        path: PathBuf,
    },
    /// The answer makes no sense; another version, or not the daemon at all.
    #[error("the daemon on {path} answers in a form that this version does not understand")]
    Malformed {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request is longer than what the daemon takes at once.
    #[error("the request is longer than {MAX_REQUEST} octets: ask for less at once")]
    TooLong,
    /// The daemon serves as many clients as it can.
    #[error("the daemon on {path} serves too many clients already; try again later")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The configuration was not read again, and the old one stays in force.
    #[error("the daemon keeps its configuration: {reason}")]
    ReloadFailed {
        /// What the daemon says.
        reason: String,
    },
    /// There is no such link.
    #[error("{reason}")]
    NoSuchLink {
        /// What the daemon says.
        reason: String,
    },
    /// Rules were neither added nor removed.
    #[error("{reason}")]
    RuleRefused {
        /// What the daemon says.
        reason: String,
        /// Position of the rule in the request, counted from zero, if it is about one.
        index: Option<u64>,
    },
    /// Something in the request is not as the daemon wants it.
    #[error("the daemon does not take the {parameter} of the request: {reason}")]
    InvalidParameter {
        /// What it does not take.
        parameter: String,
        /// Why not.
        reason: String,
    },
    /// The daemon is of an earlier version.
    #[error("the daemon on {path} does not know {method} yet; start it again to update it")]
    Unsupported {
        /// The socket.
        path: PathBuf,
        /// What it was asked for.
        method: String,
    },
    /// The daemon refuses for a reason that this version does not know.
    #[error("the daemon refuses with {error}")]
    Refused {
        /// Name of the error.
        error: String,
    },
}

impl Client {
    /// Connects to the daemon that listens on `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotRunning`], [`ClientError::PermissionDenied`] or [`ClientError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { path, source }
                }
                io::ErrorKind::PermissionDenied => ClientError::PermissionDenied { path, source },
                _ => ClientError::Connect { path, source },
            }
        })?;
        let client = Self { stream, decoder: Decoder::new(REPLY_LIMIT), path: path.to_owned() };
        client.set_timeout(Some(TIMEOUT))?;
        Ok(client)
    }

    /// Asks how the daemon is doing.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when no sensible answer came.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.call(STATUS)
    }

    /// Asks for all hosts, in the order of their addresses.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when no sensible answer came.
    pub fn hosts(&mut self) -> Result<Vec<Host>, ClientError> {
        #[derive(Deserialize)]
        struct Hosts {
            hosts: Vec<Host>,
        }
        self.call::<Hosts>(HOSTS).map(|reply| reply.hosts)
    }

    /// Asks for the records of names that were seen, in their order.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when no sensible answer came.
    pub fn names(&mut self) -> Result<Vec<Name>, ClientError> {
        #[derive(Deserialize)]
        struct Names {
            names: Vec<Name>,
        }
        self.call::<Names>(NAMES).map(|reply| reply.names)
    }

    /// Asks for the host routes that the daemon keeps or wants, in the order of their addresses.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when no sensible answer came.
    pub fn routes(&mut self) -> Result<Vec<HostRoute>, ClientError> {
        #[derive(Deserialize)]
        struct Routes {
            routes: Vec<HostRoute>,
        }
        self.call::<Routes>(ROUTES).map(|reply| reply.routes)
    }

    /// Asks which addresses were asked for, in their order.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when no sensible answer came.
    pub fn targets(&mut self) -> Result<Vec<Target>, ClientError> {
        #[derive(Deserialize)]
        struct Targets {
            targets: Vec<Target>,
        }
        self.call::<Targets>(TARGETS).map(|reply| reply.targets)
    }

    /// Asks for all rules; those of one relay stand together, in the order in which they
    /// count.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when no sensible answer came.
    pub fn rules(&mut self) -> Result<Vec<Rule>, ClientError> {
        #[derive(Deserialize)]
        struct Rules {
            rules: Vec<Rule>,
        }
        self.call::<Rules>(RULES).map(|reply| reply.rules)
    }

    /// Adds rules, or renews those that are the same.
    ///
    /// # Errors
    ///
    /// [`ClientError::RuleRefused`] with what is wrong with them, [`ClientError::TooLong`] if they
    /// are too many for one request, or another [`ClientError`] when no sensible answer came.
    pub fn add_rules(&mut self, request: &AddRules) -> Result<AddedRules, ClientError> {
        self.call_with(ADD_RULES, request)
    }

    /// Removes rules that were added; returns how many.
    ///
    /// # Errors
    ///
    /// [`ClientError::RuleRefused`] with what is wrong with the request, or another
    /// [`ClientError`] when no sensible answer came.
    pub fn remove_rules(&mut self, request: &RemoveRules) -> Result<u64, ClientError> {
        #[derive(Deserialize)]
        struct Removed {
            removed: u64,
        }
        self.call_with::<Removed>(REMOVE_RULES, request).map(|reply| reply.removed)
    }

    /// Makes the daemon tell neighbors which addresses it answers for.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoSuchLink`], or another [`ClientError`] when no sensible answer came.
    pub fn announce(&mut self, request: &Announce) -> Result<Announced, ClientError> {
        self.call_with(ANNOUNCE, request)
    }

    /// Makes the daemon read its configuration again; returns what it has to say about it.
    ///
    /// # Errors
    ///
    /// [`ClientError::ReloadFailed`] with what is wrong with it, or another [`ClientError`] when
    /// no sensible answer came.
    pub fn reload(&mut self) -> Result<Vec<String>, ClientError> {
        #[derive(Deserialize)]
        struct Reloaded {
            #[serde(default)]
            warnings: Vec<String>,
        }
        self.call::<Reloaded>(RELOAD).map(|reply| reply.warnings)
    }

    /// Starts watching; whatever happens after this has returned is reported.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when the daemon does not confirm the watch.
    pub fn watch(mut self) -> Result<Watch, ClientError> {
        self.send(&Call { method: WATCH.into(), more: true, ..Call::default() })?;
        let first: Event = self.receive()?.0;
        if first.kind != EventKind::Subscribed {
            return Err(self.malformed("the watch does not start with its confirmation"));
        }
        self.set_timeout(None)?;
        Ok(Watch { client: self, ended: false })
    }

    fn call<T: DeserializeOwned>(&mut self, method: &str) -> Result<T, ClientError> {
        self.send(&Call { method: method.into(), ..Call::default() })?;
        self.receive().map(|(value, _)| value)
    }

    fn call_with<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
    ) -> Result<T, ClientError> {
        let parameters = match serde_json::to_value(parameters) {
            Ok(Value::Object(parameters)) => Some(parameters),
            Ok(_) => None,
            Err(error) => return Err(self.malformed(error)),
        };
        self.send(&Call { method: method.into(), parameters, ..Call::default() })?;
        self.receive().map(|(value, _)| value)
    }

    fn send(&mut self, call: &Call) -> Result<(), ClientError> {
        let mut message = Vec::new();
        encode(call, &mut message).map_err(|error| self.malformed(error))?;
        // The zero octet at the end does not count.
        if message.len() > MAX_REQUEST + 1 {
            return Err(ClientError::TooLong);
        }
        match self.stream.write_all(&message) {
            Ok(()) => Ok(()),
            // A daemon that is busy says so before it has read anything, and closes.
            Err(source) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(source) => Err(self.lost(source)),
        }
    }

    /// Waits for a reply; tells also whether it announces another.
    fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, bool), ClientError> {
        let reply = self.receive_reply()?;
        let parameters = reply.parameters.unwrap_or_default();
        match reply.error {
            None => {
                let value = serde_json::from_value(Value::Object(parameters))
                    .map_err(|error| self.malformed(error))?;
                Ok((value, reply.continues))
            }
            Some(error) => Err(self.refusal(error, &parameters)),
        }
    }

    fn receive_reply(&mut self) -> Result<Reply, ClientError> {
        let mut chunk = [0; CHUNK];
        loop {
            let reply = match self.decoder.take() {
                Ok(None) => None,
                Ok(Some(message)) => Some(serde_json::from_slice(message).map_err(Into::into)),
                Err(error) => Some(Err(error.into())),
            };
            if let Some(reply) = reply {
                return reply.map_err(|error: Box<dyn std::error::Error + Send + Sync>| {
                    self.malformed(error)
                });
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.decoder.push(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.lost(source)),
            }
        }
    }

    fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.stream
            .set_read_timeout(timeout)
            .and_then(|()| self.stream.set_write_timeout(timeout))
            .map_err(|source| self.lost(source))
    }

    fn lost(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout { path },
            _ => ClientError::Lost { path, source },
        }
    }

    fn malformed(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Malformed { path: self.path.clone(), source: source.into() }
    }

    fn refusal(&self, error: String, parameters: &Map<String, Value>) -> ClientError {
        let text =
            |name| parameters.get(name).and_then(Value::as_str).unwrap_or("(not given)").to_owned();
        match error.as_str() {
            BUSY => ClientError::Busy { path: self.path.clone() },
            RELOAD_FAILED => ClientError::ReloadFailed { reason: text("reason") },
            NO_SUCH_LINK => ClientError::NoSuchLink { reason: text("reason") },
            RULE_REFUSED => match serde_json::from_value(Value::Object(parameters.clone())) {
                Ok(RuleRefusal { reason, index }) => ClientError::RuleRefused { reason, index },
                Err(error) => self.malformed(error),
            },
            INVALID_PARAMETER => ClientError::InvalidParameter {
                parameter: text("parameter"),
                reason: text("reason"),
            },
            METHOD_NOT_FOUND => {
                ClientError::Unsupported { path: self.path.clone(), method: text("method") }
            }
            _ => ClientError::Refused { error },
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Watch {
    /// Limits how long each event is waited for; after that, [`ClientError::Timeout`] is what
    /// comes, and waiting may go on. Without a limit, which is how it starts, waiting never ends.
    ///
    /// # Errors
    ///
    /// [`ClientError::Lost`] when the connection is no more.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.client.set_timeout(timeout)
    }
}

impl Iterator for Watch {
    type Item = Result<Event, ClientError>;

    /// Waits for the next event; after an error other than a timeout there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let received = self.client.receive();
        self.ended = match &received {
            Ok((_, continues)) => !continues,
            Err(ClientError::Timeout { .. }) => false,
            Err(_) => true,
        };
        Some(received.map(|(event, _)| event))
    }
}

/// How long the daemon may take over an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Far more than a list of all hosts that the daemon's caps allow.
const REPLY_LIMIT: usize = 64 << 20;

/// Octets read at once.
const CHUNK: usize = 8192;
