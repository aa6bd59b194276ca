//! Sets options of sockets that no safe library sets.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use rustix::io::Errno;

use crate::packet::{last_errno, socket_length};

/// Sets an option to a value of the type that the kernel takes for it.
pub(crate) fn set_option<T>(
    fd: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> Result<(), Errno> {
    // SAFETY: `value` is a valid value of the given size that is read during the call only.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            option,
            ptr::from_ref(value).cast(),
            socket_length::<T>(),
        )
    };
    if result >= 0 { Ok(()) } else { Err(last_errno()) }
}

/// Attaches a filter in the place of the one that is there, in one step.
pub(crate) fn attach_filter(fd: impl AsFd, program: &mut [libc::sock_filter]) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).unwrap_or(u16::MAX);
    let raw = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // The kernel copies the program during the call, and `program` lives beyond it.
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &raw)
}
