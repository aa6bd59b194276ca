//! Makes devices whose far end is this process: packets routed into one are read here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A tunnel device (tun or tap), which lives as long as this value.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
}

impl Tun {
    /// Makes a device for IP packets without link-layer headers, as VPN software does, in the
    /// calling thread's network namespace. It is down at first.
    ///
    /// # Errors
    ///
    /// [`TunError`] if the caller may not make devices or there is one of that name.
    pub fn create(name: &str) -> Result<Self, TunError> {
        Self::with_flags(name, libc::IFF_TUN)
    }

    /// Makes a device for Ethernet frames, as virtual machines have it, in the calling thread's
    /// network namespace. It is down at first.
    ///
    /// # Errors
    ///
    /// As [`Tun::create`].
    pub fn create_tap(name: &str) -> Result<Self, TunError> {
        Self::with_flags(name, libc::IFF_TAP)
    }

    /// Takes the next packet that the kernel sent out of the device; `None` if there is none.
    /// A packet longer than `buffer` is cut.
    ///
    /// # Errors
    ///
    /// [`TunError::Receive`].
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, TunError> {
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer)) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::AGAIN) => Ok(None),
            Err(source) => Err(TunError::Receive { source: source.into() }),
        }
    }

    /// Makes the kernel receive `packet` on the device.
    ///
    /// # Errors
    ///
    /// [`TunError::Send`], also if the device is down.
    pub fn send(&self, packet: &[u8]) -> Result<(), TunError> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, packet))
            .map(drop)
            .map_err(|source| TunError::Send { source: source.into() })
    }

    fn with_flags(name: &str, flags: libc::c_int) -> Result<Self, TunError> {
        let fail = |source: io::Error| TunError::Create { name: name.to_owned(), source };
        let mut request = request(name, flags | libc::IFF_NO_PI).ok_or_else(|| {
            fail(io::Error::new(io::ErrorKind::InvalidInput, "no name of a link has this length"))
        })?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(DEVICE, flags, Mode::empty())
            .map_err(|source| TunError::Open { source: source.into() })?;
        // SAFETY: The request is the structure that this operation reads and writes, and it
        // outlives the call.
        let status = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        if status == 0 { Ok(Self { fd }) } else { Err(fail(io::Error::last_os_error())) }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A tunnel device could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The kernel's door to tunnel devices could not be opened.
    #[error(
        "cannot open {DEVICE}; if it is missing, as root run `modprobe tun`, and if it is \
         forbidden, `chmod 0666 {DEVICE}`, which is what udev does"
    )]
    Open {
        /// Why.
        source: io::Error,
    },
    /// The device could not be made.
    #[error("cannot make the tunnel device {name}")]
    Create {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing could be received.
    #[error("cannot receive from a tunnel device")]
    Receive {
        /// Why.
        source: io::Error,
    },
    /// A packet was refused.
    #[error("cannot send to a tunnel device")]
    Send {
        /// Why.
        source: io::Error,
    },
}

/// A request to attach a descriptor to the device `name`; `None` if no device can be called so.
fn request(name: &str, flags: libc::c_int) -> Option<libc::ifreq> {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    // The last octet stays zero.
    if name.is_empty() || name.len() >= ifr_name.len() {
        return None;
    }
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let ifru_flags = libc::c_short::try_from(flags).ok()?;
    Some(libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags } })
}

const DEVICE: &str = "/dev/net/tun";
