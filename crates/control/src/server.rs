//! Serves clients from the daemon's event loop: never blocks, needs no threads, and is bounded in
//! everything that a client can make it hold.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{fs, mem};

use rustix::event::{Timespec, epoll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value, json};

use crate::call::{
    ADD_RULES, ANNOUNCE, Answer, BUSY, Call, EXPECTED_MORE, GET_INFO, GET_INTERFACE_DESCRIPTION,
    HOSTS, INTERFACE, INTERFACE_DESCRIPTION, INTERFACE_NOT_FOUND, INVALID_PARAMETER,
    METHOD_NOT_FOUND, NAMES, NO_SUCH_LINK, RELOAD, RELOAD_FAILED, REMOVE_RULES, ROUTES,
    RULE_REFUSED, RULES, SERVICE, STATUS, TARGETS, WATCH,
};
use crate::frame::{Decoder, encode};
use crate::message::{
    AddRules, AddedRules, Announce, Announced, Event, EventKind, Host, HostRoute, Name,
    RemoveRules, Rule, RuleRefusal, Status, Target,
};

/// Most clients that are served at a time; further ones are told to come back later.
pub const MAX_CLIENTS: usize = 16;

/// Most octets of a request.
pub const MAX_REQUEST: usize = 64 << 10;

/// Most octets of events that wait for a slow client before it is disconnected.
pub const MAX_BACKLOG: usize = 1 << 20;

/// Listens on a Unix socket and serves the clients that connect.
///
/// It stands for one descriptor, to be watched for reading: when that is ready, call
/// [`Server::serve`]. Dropping it disconnects all clients and removes the socket.
#[derive(Debug)]
pub struct Server {
    epoll: OwnedFd,
    listener: UnixListener,
    /// The listener is being watched; it is not while the process has no descriptors left.
    listening: bool,
    clients: BTreeMap<u64, Connection>,
    next_client: u64,
    /// The message being broadcast; kept for its capacity.
    message: Vec<u8>,
    socket: SocketFile,
}

/// What the daemon answers.
pub trait Handler {
    /// Tells how the daemon is doing.
    fn status(&mut self) -> Status;

    /// Lists all hosts in the order of their addresses.
    fn hosts(&mut self) -> Vec<Host>;

    /// Lists the records of names that were seen, in their order.
    fn names(&mut self) -> Vec<Name>;

    /// Lists the host routes that are kept or wanted, in the order of their addresses.
    fn routes(&mut self) -> Vec<HostRoute>;

    /// Lists the addresses that were asked for, in their order.
    fn targets(&mut self) -> Vec<Target>;

    /// Lists all rules: those of one relay together, in the order in which they count.
    fn rules(&mut self) -> Vec<Rule>;

    /// Adds rules: all, or none.
    ///
    /// # Errors
    ///
    /// What is wrong with them; nothing has changed then.
    fn add_rules(&mut self, request: AddRules) -> Result<AddedRules, RuleRefusal>;

    /// Removes rules that were added; returns how many.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; nothing has changed then.
    fn remove_rules(&mut self, request: RemoveRules) -> Result<u64, RuleRefusal>;

    /// Tells the neighbors on one link or all which addresses are answered for; returns what is on
    /// its way.
    ///
    /// # Errors
    ///
    /// Why there is no such link, for a human reader; nothing is sent then.
    fn announce(&mut self, request: Announce) -> Result<Announced, String>;

    /// Reads the configuration again; returns what an operator should know about it, in whole
    /// sentences.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a human reader; the old one is then still in force.
    fn reload(&mut self) -> Result<Vec<String>, String>;
}

/// Why there is no socket to connect to.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The directory of the socket could not be made.
    #[error("cannot create the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A daemon listens there.
    #[error("another magpie is listening on {path}")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is a file of another kind.
    #[error("{path} exists and is not a socket; it is left alone")]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// Listening failed otherwise.
    #[error("cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Server {
    /// Listens on `path`, for this user only.
    ///
    /// Directories that are missing are made. A socket that a predecessor left is replaced when
    /// nobody listens on it any more.
    ///
    /// # Errors
    ///
    /// [`BindError`]; nothing that was there is touched then.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .map_err(|source| BindError::Directory { path: directory.to_owned(), source })?;
        }
        let fail = |source| BindError::Listen { path: path.to_owned(), source };
        let listener = match listen(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                listen(path)
            }
            other => other,
        }
        .map_err(fail)?;
        let socket = SocketFile::new(path).map_err(fail)?;
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| fail(errno.into()))?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)
            .map_err(|errno| fail(errno.into()))?;
        Ok(Self {
            epoll,
            listener,
            listening: true,
            clients: BTreeMap::new(),
            next_client: LISTENER + 1,
            message: Vec::new(),
            socket,
        })
    }

    /// Does what can be done at once: accepts clients, reads requests, writes replies.
    ///
    /// A client that breaks the rules or the connection is disconnected; that is no error.
    pub fn serve(&mut self, handler: &mut impl Handler) {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(LISTENER),
        }; MAX_CLIENTS + 1];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(&self.epoll, &mut events, Some(&at_once)).unwrap_or(0);
        for event in events.iter().take(count) {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == LISTENER {
                self.accept();
                continue;
            }
            let Some(client) = self.clients.get_mut(&token) else {
                continue;
            };
            let outcome = client.advance(flags, handler);
            self.settle(token, outcome);
        }
    }

    /// Reports `event` to all clients that watch.
    pub fn broadcast(&mut self, event: &Event) {
        let mut message = mem::take(&mut self.message);
        message.clear();
        // An event always has a form in JSON.
        if encode(&Answer::more(event), &mut message).is_ok() {
            let watchers: [u64; MAX_CLIENTS] = self.watchers();
            for token in watchers.into_iter().filter(|token| *token != LISTENER) {
                if let Some(client) = self.clients.get_mut(&token) {
                    let outcome = client.notify(&message);
                    self.settle(token, outcome);
                }
            }
        }
        self.message = message;
    }

    /// Tells whether anybody watches, so that events need not be made up for nobody.
    pub fn is_watched(&self) -> bool {
        self.clients.values().any(|client| client.watching)
    }

    /// Counts the clients that are connected.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Returns where it listens.
    pub fn path(&self) -> &Path {
        &self.socket.path
    }

    /// Lists the clients that watch; the places left over hold [`LISTENER`].
    fn watchers(&self) -> [u64; MAX_CLIENTS] {
        let mut tokens = [LISTENER; MAX_CLIENTS];
        let watching = self.clients.iter().filter(|(_, client)| client.watching);
        for (place, (token, _)) in tokens.iter_mut().zip(watching) {
            *place = *token;
        }
        tokens
    }

    /// Accepts all clients that are waiting.
    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    io::ErrorKind::WouldBlock => return,
                    // Without descriptors it would be ready for ever: wait for one to be freed.
                    _ => return self.listen_again(false),
                },
            }
        }
    }

    fn admit(&mut self, mut stream: UnixStream) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() == MAX_CLIENTS {
            let mut message = Vec::new();
            if encode(&Answer::error(BUSY, json!({})), &mut message).is_ok() {
                // The socket is new and has room; if not, closing it says enough.
                let _ = stream.write_all(&message);
            }
            return;
        }
        let token = self.next_client;
        let interest = epoll::EventFlags::IN;
        if epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(token), interest).is_ok() {
            self.next_client += 1;
            self.clients.insert(token, Connection::new(stream, interest));
        }
    }

    /// Keeps or ends a connection, and waits for what it needs next.
    fn settle(&mut self, token: u64, outcome: Outcome) {
        let Some(client) = self.clients.get_mut(&token) else {
            return;
        };
        let kept = match outcome {
            Outcome::Close => false,
            Outcome::Keep => {
                let interest = client.interest();
                let data = epoll::EventData::new_u64(token);
                interest == client.registered
                    || epoll::modify(&self.epoll, &client.stream, data, interest)
                        .map(|()| client.registered = interest)
                        .is_ok()
            }
        };
        if !kept {
            // Closing it also removes it from the epoll instance.
            self.clients.remove(&token);
            self.listen_again(true);
        }
    }

    /// Starts or stops waiting for new clients.
    fn listen_again(&mut self, listening: bool) {
        if listening == self.listening {
            return;
        }
        let interest = if listening { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(LISTENER);
        if epoll::modify(&self.epoll, &self.listener, data, interest).is_ok() {
            self.listening = listening;
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// One client.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    /// What has to be written, of which the first `written` octets have been.
    output: Vec<u8>,
    written: usize,
    /// The client has asked for events, and may ask for nothing else.
    watching: bool,
    /// The client will send nothing more.
    finished: bool,
    /// What is being waited for.
    registered: epoll::EventFlags,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Keep,
    Close,
}

impl Connection {
    fn new(stream: UnixStream, registered: epoll::EventFlags) -> Self {
        Self {
            stream,
            decoder: Decoder::new(MAX_REQUEST),
            output: Vec::new(),
            written: 0,
            watching: false,
            finished: false,
            registered,
        }
    }

    /// Reads and writes as far as it goes.
    fn advance(&mut self, flags: epoll::EventFlags, handler: &mut impl Handler) -> Outcome {
        let readable = flags.contains(epoll::EventFlags::IN);
        let hung_up = flags.contains(epoll::EventFlags::HUP);
        // What a client sent before it hung up is still carried out.
        if flags.contains(epoll::EventFlags::ERR) || (hung_up && !readable) {
            return Outcome::Close;
        }
        if readable && self.read() == Outcome::Close {
            return Outcome::Close;
        }
        // One request after the other: the next is taken up when the reply to the last has left.
        loop {
            if self.flush() == Outcome::Close {
                return Outcome::Close;
            }
            if !self.output.is_empty() {
                return Outcome::Keep;
            }
            let call = match self.decoder.take() {
                Ok(Some(message)) => serde_json::from_slice(message),
                Ok(None) => break,
                Err(_) => return Outcome::Close,
            };
            // Neither what is no request, nor a request amid a watch, has an answer.
            let Ok(call) = call else {
                return Outcome::Close;
            };
            if self.watching || self.answer(&call, handler).is_err() {
                return Outcome::Close;
            }
        }
        if self.finished && (hung_up || !self.watching) { Outcome::Close } else { Outcome::Keep }
    }

    /// Appends an event, unless the client is too slow for events.
    fn notify(&mut self, message: &[u8]) -> Outcome {
        if self.output.len() - self.written + message.len() > MAX_BACKLOG {
            return Outcome::Close;
        }
        self.output.extend_from_slice(message);
        self.flush()
    }

    /// Tells what the connection waits for.
    fn interest(&self) -> epoll::EventFlags {
        let read = if self.finished || (!self.output.is_empty() && !self.watching) {
            epoll::EventFlags::empty()
        } else {
            epoll::EventFlags::IN
        };
        let write = if self.output.is_empty() {
            epoll::EventFlags::empty()
        } else {
            epoll::EventFlags::OUT
        };
        read | write
    }

    /// Reads once; if there is more, the descriptor stays ready.
    fn read(&mut self) -> Outcome {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.finished = true,
            Ok(count) => self.decoder.push(chunk.get(..count).unwrap_or_default()),
            Err(error) if is_transient(&error) => {}
            Err(_) => return Outcome::Close,
        }
        Outcome::Keep
    }

    /// Writes as much as the client takes.
    fn flush(&mut self) -> Outcome {
        while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Outcome::Close,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.output.drain(..self.written);
                    self.written = 0;
                    return Outcome::Keep;
                }
                Err(_) => return Outcome::Close,
            }
        }
        self.written = 0;
        self.output.clear();
        self.output.shrink_to(KEPT_CAPACITY);
        Outcome::Keep
    }

    /// Carries a request out and appends the reply, if one is wanted.
    fn answer(&mut self, call: &Call, handler: &mut impl Handler) -> serde_json::Result<()> {
        let mut unwanted = Vec::new();
        let output = if call.oneway { &mut unwanted } else { &mut self.output };
        match call.method.as_str() {
            STATUS => encode(&Answer::result(handler.status()), output),
            HOSTS => encode(&Answer::result(Hosts { hosts: handler.hosts() }), output),
            NAMES => encode(&Answer::result(Names { names: handler.names() }), output),
            ROUTES => encode(&Answer::result(Routes { routes: handler.routes() }), output),
            TARGETS => encode(&Answer::result(Targets { targets: handler.targets() }), output),
            RULES => encode(&Answer::result(Rules { rules: handler.rules() }), output),
            ADD_RULES => encode(&add_rules(call, handler), output),
            REMOVE_RULES => encode(&remove_rules(call, handler), output),
            ANNOUNCE => encode(&announce(call, handler), output),
            RELOAD => match handler.reload() {
                Ok(warnings) => encode(&Answer::result(json!({ "warnings": warnings })), output),
                Err(reason) => {
                    encode(&Answer::error(RELOAD_FAILED, json!({ "reason": reason })), output)
                }
            },
            WATCH if call.more => {
                self.watching = true;
                encode(&Answer::more(Event::new(EventKind::Subscribed)), output)
            }
            WATCH => encode(&Answer::error(EXPECTED_MORE, json!({})), output),
            GET_INFO => encode(&Answer::result(info()), output),
            GET_INTERFACE_DESCRIPTION => encode(&description(call), output),
            unknown => encode(&unknown_method(unknown), output),
        }
    }
}

/// The reply to a request for all hosts.
#[derive(Serialize)]
struct Hosts {
    hosts: Vec<Host>,
}

/// The reply to a request for all host routes.
#[derive(Serialize)]
struct Names {
    names: Vec<Name>,
}

#[derive(Serialize)]
struct Routes {
    routes: Vec<HostRoute>,
}

/// The reply to a request for all targets.
#[derive(Serialize)]
struct Targets {
    targets: Vec<Target>,
}

/// The reply to a request for all rules.
#[derive(Serialize)]
struct Rules {
    rules: Vec<Rule>,
}

fn add_rules(call: &Call, handler: &mut impl Handler) -> Answer<'static, Value> {
    let request = (|| {
        let parameters = Parameters::of(call, &["owner", "lifetime_seconds", "persist", "rules"])?;
        Ok(AddRules {
            owner: parameters.required("owner")?,
            lifetime_seconds: parameters.optional("lifetime_seconds")?,
            persist: parameters.optional("persist")?.unwrap_or_default(),
            rules: parameters.required("rules")?,
        })
    })();
    match request.map(|request| handler.add_rules(request)) {
        Ok(Ok(AddedRules { added, renewed })) => {
            Answer::result(json!({ "added": added, "renewed": renewed }))
        }
        Ok(Err(refusal)) => refused(refusal),
        Err(invalid) => invalid,
    }
}

fn remove_rules(call: &Call, handler: &mut impl Handler) -> Answer<'static, Value> {
    let request = (|| {
        let parameters = Parameters::of(call, &["prefix", "owner", "relay"])?;
        Ok(RemoveRules {
            prefix: parameters.optional("prefix")?,
            owner: parameters.optional("owner")?,
            relay: parameters.optional("relay")?,
        })
    })();
    match request.map(|request| handler.remove_rules(request)) {
        Ok(Ok(removed)) => Answer::result(json!({ "removed": removed })),
        Ok(Err(refusal)) => refused(refusal),
        Err(invalid) => invalid,
    }
}

fn announce(call: &Call, handler: &mut impl Handler) -> Answer<'static, Value> {
    let request = Parameters::of(call, &["link"])
        .and_then(|parameters| Ok(Announce { link: parameters.optional("link")? }));
    match request.map(|request| handler.announce(request)) {
        Ok(Ok(Announced { announcements, links, seconds })) => Answer::result(
            json!({ "announcements": announcements, "links": links, "seconds": seconds }),
        ),
        Ok(Err(reason)) => Answer::error(NO_SUCH_LINK, json!({ "reason": reason })),
        Err(invalid) => invalid,
    }
}

fn refused(RuleRefusal { reason, index }: RuleRefusal) -> Answer<'static, Value> {
    let parameters = match index {
        Some(index) => json!({ "reason": reason, "index": index }),
        None => json!({ "reason": reason }),
    };
    Answer::error(RULE_REFUSED, parameters)
}

/// The arguments of a request.
struct Parameters<'a>(Option<&'a Map<String, Value>>);

impl<'a> Parameters<'a> {
    /// Looks at the arguments of a request, of which only these are known: one that is not
    /// understood might be one that matters.
    fn of(call: &'a Call, known: &[&str]) -> Result<Self, Answer<'static, Value>> {
        let parameters = call.parameters.as_ref();
        let names = parameters.into_iter().flat_map(Map::keys);
        match names.map(String::as_str).find(|name| !known.contains(name)) {
            Some(unknown) => Err(invalid(unknown, &format!("there are only {}", known.join(", ")))),
            None => Ok(Self(parameters)),
        }
    }

    fn optional<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Answer<'static, Value>> {
        let value = self.0.and_then(|parameters| parameters.get(name));
        value.map_or(Ok(None), |value| {
            Option::<T>::deserialize(value).map_err(|error| invalid(name, &error.to_string()))
        })
    }

    fn required<T: DeserializeOwned>(&self, name: &str) -> Result<T, Answer<'static, Value>> {
        self.optional(name)?.ok_or_else(|| invalid(name, "it is missing"))
    }
}

fn invalid(parameter: &str, reason: &str) -> Answer<'static, Value> {
    Answer::error(INVALID_PARAMETER, json!({ "parameter": parameter, "reason": reason }))
}

/// What general tools learn about the daemon.
fn info() -> Value {
    json!({
        "vendor": "Magpie",
        "product": "magpie",
        "version": env!("CARGO_PKG_VERSION"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "interfaces": [SERVICE, INTERFACE],
    })
}

fn description(call: &Call) -> Answer<'static, Value> {
    let parameters = call.parameters.as_ref();
    match parameters.and_then(|all| all.get("interface")).and_then(Value::as_str) {
        Some(INTERFACE) => Answer::result(json!({ "description": INTERFACE_DESCRIPTION })),
        Some(SERVICE) => Answer::result(json!({ "description": SERVICE_DESCRIPTION })),
        Some(other) => Answer::error(INTERFACE_NOT_FOUND, json!({ "interface": other })),
        None => invalid("interface", "it is missing"),
    }
}

fn unknown_method(method: &str) -> Answer<'static, Value> {
    let interface = method.rsplit_once('.').map_or(method, |(interface, _)| interface);
    if interface == INTERFACE || interface == SERVICE {
        Answer::error(METHOD_NOT_FOUND, json!({ "method": method }))
    } else {
        Answer::error(INTERFACE_NOT_FOUND, json!({ "interface": interface }))
    }
}

/// The file that the socket appears as; removed with the value, unless it is another by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours {
            // If it stays, the next daemon finds that nobody listens on it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a socket that only this user may connect to, from its first moment on.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file takes its permissions from the socket.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Removes a socket on which nobody listens.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let path = path.to_owned();
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(source) => return Err(BindError::Listen { path, source }),
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket { path });
    }
    match knock(&path) {
        Err(Errno::CONNREFUSED) => {
            fs::remove_file(&path).map_err(|source| BindError::Listen { path, source })
        }
        // It listens, or so many others wait to be accepted that it must.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse { path }),
        Err(errno) => Err(BindError::Listen { path, source: errno.into() }),
    }
}

/// Connects to a socket and leaves again, without waiting for anybody.
fn knock(path: &Path) -> Result<(), Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Token of the listener; clients have higher ones.
const LISTENER: u64 = 0;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 16;

/// Octets read at once.
const CHUNK: usize = 4096;

/// Room that a connection keeps between replies.
const KEPT_CAPACITY: usize = 4096;

/// The interface that every Varlink service has, as its specification gives it.
const SERVICE_DESCRIPTION: &str = "\
interface org.varlink.service

method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)

error MethodNotFound (method: string)

error MethodNotImplemented (method: string)

error InvalidParameter (parameter: string)

error PermissionDenied ()

error ExpectedMore ()
";
