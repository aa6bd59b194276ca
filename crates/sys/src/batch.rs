//! Moves frames between packet sockets and user space, many with one system call and without
//! allocation.

use std::iter::Zip;
use std::os::fd::{AsFd, AsRawFd};
use std::{mem, ptr, slice};

use magpie_wire::datagram::complete_checksum;
use rustix::io::Errno;

use crate::framing::Framing;
use crate::packet::{LinkFault, PacketSocket, empty_address, last_errno};

/// Most frames that one call receives or sends.
pub const BATCH: usize = 32;

/// Octets of a received frame that are kept. Ethernet frames of the usual size fit; of a longer
/// one the beginning is kept, and its true length is known.
pub const RECEIVE_CAPACITY: usize = 2048;

/// Octets of a received datagram that are kept, link-layer header included: those of multicast DNS
/// have 9000 at most (RFC 6762 section 17).
pub const DATAGRAM_CAPACITY: usize = 9216;

/// Octets that a frame to send may have.
pub const SEND_CAPACITY: usize = 2048;

/// Buffers to receive frames in; one set serves all links in turn.
#[derive(Debug)]
pub struct RecvBatch {
    /// The buffers, one behind the other.
    octets: Box<[u8]>,
    capacity: usize,
    notes: [Note; BATCH],
}

/// The frames of one call, in the order of their arrival.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    lost: u32,
    frames: Zip<slice::ChunksExact<'a, u8>, slice::Iter<'a, Note>>,
}

/// A received frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Received<'a> {
    /// The frame from its Ethernet header on, on links without link-layer addresses from its IPv6
    /// header on; or as much of it from its beginning as there was room for.
    pub bytes: &'a [u8],
    /// Octets that the frame had; more than there are bytes when it was cut.
    pub length: usize,
    /// This host itself sent the frame.
    pub outgoing: bool,
}

/// Frames on their way out of one link; they leave in the order in which they were put in.
///
/// Nothing ever waits: what the kernel does not take at once is dropped and counted.
#[derive(Debug)]
pub struct SendBatch {
    /// The frames, one behind the other.
    octets: Box<[u8]>,
    /// Where each frame ends.
    ends: [usize; BATCH],
    count: usize,
}

/// What became of the frames of a [`SendBatch`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// Frames that the kernel took.
    pub sent: u64,
    /// Frames dropped since the kernel or the driver had no room.
    pub congested: u64,
    /// Frames dropped since the link is down or has gone.
    pub link_down: u64,
    /// Frames that the kernel refused, such as those longer than the link allows.
    pub refused: u64,
}

impl RecvBatch {
    /// Allocates the buffers, once and for all, for frames of [`RECEIVE_CAPACITY`] octets.
    pub fn new() -> Self {
        Self::with_capacity(RECEIVE_CAPACITY)
    }

    /// Allocates the buffers, once and for all, for frames of [`DATAGRAM_CAPACITY`] octets. What is
    /// never filled takes no memory.
    pub fn for_datagrams() -> Self {
        Self::with_capacity(DATAGRAM_CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        let octets = vec![0; capacity * BATCH].into_boxed_slice();
        Self { octets, capacity, notes: [Note::default(); BATCH] }
    }

    /// Receives what is waiting, but at most [`BATCH`] frames, and never waits.
    ///
    /// When fewer come, the queue was empty: do not call again before the socket is readable.
    ///
    /// # Errors
    ///
    /// [`LinkFault`], the pending error of the socket; each is reported once.
    pub fn receive(&mut self, socket: &PacketSocket) -> Result<Frames<'_>, LinkFault> {
        let count = loop {
            match self.receive_once(socket) {
                Ok(count) => break count,
                Err(Errno::AGAIN) => break 0,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(socket.fault(errno)),
            }
        };
        if socket.completes_checksums() {
            self.complete_checksums(count, socket.framing());
        }
        let notes = self.notes.get(..count).unwrap_or_default();
        let lost = socket.take_lost(count == BATCH);
        Ok(Frames { lost, frames: self.octets.chunks_exact(self.capacity).zip(notes) })
    }

    /// Fills in the UDP checksums of the first `count` frames where nobody has yet.
    fn complete_checksums(&mut self, count: usize, framing: Framing) {
        let frames = self.octets.chunks_exact_mut(self.capacity).zip(&self.notes).take(count);
        for (buffer, note) in frames.filter(|(_, note)| note.lacks_checksum) {
            if let Some(frame) = buffer.get_mut(..note.length) {
                complete_checksum(frame, framing == Framing::Bare);
            }
        }
    }

    fn receive_once(&mut self, socket: &PacketSocket) -> Result<usize, Errno> {
        let mut addresses = [empty_address(); BATCH];
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [empty_header(); BATCH];
        let mut notes = [Control::EMPTY; BATCH];
        let wants_notes = socket.completes_checksums();
        let buffers = self.octets.chunks_exact_mut(self.capacity);
        let slots = buffers.zip(&mut addresses).zip(&mut vectors);
        for (header, ((buffer, address), vector)) in headers.iter_mut().zip(slots) {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = buffer.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = ptr::from_mut(address).cast();
            header.msg_hdr.msg_namelen = ADDRESS_LEN;
        }
        if wants_notes {
            for (header, note) in headers.iter_mut().zip(&mut notes) {
                header.msg_hdr.msg_control = note.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = note.0.len();
            }
        }
        // SAFETY: every header points to one vector, one address and at most one control buffer of
        // its own, each vector to a buffer of its own of the length it says; all of them outlive
        // the call.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH_U32,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(result).map_err(|_| last_errno())?;
        let filled = headers.iter().zip(&addresses).take(count);
        for (note, (header, address)) in self.notes.iter_mut().zip(filled) {
            *note = Note {
                length: usize::try_from(header.msg_len).unwrap_or(usize::MAX),
                outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
                // SAFETY: the kernel filled the header in, and its control buffer is still there.
                lacks_checksum: wants_notes && unsafe { lacks_checksum(&header.msg_hdr) },
            };
        }
        Ok(count)
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames<'_> {
    /// Tells whether the call filled all buffers, so that more frames may be waiting.
    pub fn is_full(&self) -> bool {
        self.frames.len() == BATCH
    }

    /// Returns how many frames were lost since the last batch that told of any, for want of room
    /// in the queue.
    ///
    /// It is known once the burst of frames that filled the queue is over, or after some thousand
    /// of its frames.
    pub fn lost(&self) -> u32 {
        self.lost
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (buffer, note) = self.frames.next()?;
        let bytes = buffer.get(..note.length).unwrap_or(buffer);
        Some(Received { bytes, length: note.length, outgoing: note.outgoing })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.frames.size_hint()
    }
}

impl ExactSizeIterator for Frames<'_> {}

impl SendBatch {
    /// Allocates the room for frames, once and for all.
    pub fn new() -> Self {
        Self { octets: vec![0; ARENA].into_boxed_slice(), ends: [0; BATCH], count: 0 }
    }

    /// Gives room for the next frame, [`SEND_CAPACITY`] octets with any contents, or `None` when
    /// there is none left before the next [`SendBatch::flush`].
    ///
    /// The frame is not part of the batch before [`SendBatch::commit`].
    pub fn slot(&mut self) -> Option<&mut [u8]> {
        if self.count == BATCH {
            return None;
        }
        let used = self.used();
        self.octets.get_mut(used..used + SEND_CAPACITY)
    }

    /// Adds the frame that was written to the first `length` octets of the slot; at most
    /// [`SEND_CAPACITY`] octets count.
    pub fn commit(&mut self, length: usize) {
        let end = self.used() + length.min(SEND_CAPACITY);
        if end > self.octets.len() {
            return;
        }
        if let Some(place) = self.ends.get_mut(self.count) {
            *place = end;
            self.count += 1;
        }
    }

    /// Sends all frames through `socket`, and leaves the batch empty.
    pub fn flush(&mut self, socket: &PacketSocket) -> Sent {
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [empty_header(); BATCH];
        let mut start = 0;
        for (vector, end) in vectors.iter_mut().zip(self.ends).take(self.count) {
            let frame = self.octets.get(start..end).unwrap_or_default();
            vector.iov_base = frame.as_ptr().cast_mut().cast();
            vector.iov_len = frame.len();
            start = end;
        }
        let mut address = socket.destination(&[]);
        let name = address.as_mut().map(ptr::from_mut);
        for (header, vector) in headers.iter_mut().zip(&mut vectors) {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if let Some(name) = name {
                header.msg_hdr.msg_name = name.cast();
                header.msg_hdr.msg_namelen = ADDRESS_LEN;
            }
        }
        let headers = headers.get_mut(..self.count).unwrap_or_default();
        // SAFETY: each of these headers points to one vector of its own, and that to a frame in
        // this batch, and all of them to one address, which is only read; all outlive the call.
        let sent = unsafe { send_all(socket, headers) };
        self.count = 0;
        sent
    }

    /// Counts the frames that wait for [`SendBatch::flush`].
    pub fn len(&self) -> usize {
        self.count
    }

    /// Tells whether no frame waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns where the last frame ends.
    fn used(&self) -> usize {
        self.count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Sent {
    /// Counts the frames that were dropped for whatever reason.
    pub fn dropped(self) -> u64 {
        self.congested + self.link_down + self.refused
    }
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.congested += other.congested;
        self.link_down += other.link_down;
        self.refused += other.refused;
    }
}

/// Sends one frame of any length through `socket` now.
pub fn send(socket: &PacketSocket, frame: &[u8]) -> Sent {
    let mut vector =
        libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
    let mut header = empty_header();
    header.msg_hdr.msg_iov = &raw mut vector;
    header.msg_hdr.msg_iovlen = 1;
    let mut address = socket.destination(frame);
    if let Some(address) = &mut address {
        header.msg_hdr.msg_name = ptr::from_mut(address).cast();
        header.msg_hdr.msg_namelen = ADDRESS_LEN;
    }
    // SAFETY: the header points to one vector, and that to `frame`, and to an address or none, which
    // is only read; all outlive the call.
    unsafe { send_all(socket, slice::from_mut(&mut header)) }
}

/// What is known of a received frame beside its octets.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    length: usize,
    outgoing: bool,
    /// A device has been left to fill in the checksum of its datagram, and has not.
    lacks_checksum: bool,
}

/// Room for what the kernel notes about a frame, aligned as it must be.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_LEN]);

impl Control {
    const EMPTY: Self = Self([0; CONTROL_LEN]);
}

/// Tells whether the kernel noted about a frame that its checksum is not filled in.
///
/// # Safety
///
/// The kernel must have filled the header in, and its control buffer must still be there.
unsafe fn lacks_checksum(header: &libc::msghdr) -> bool {
    // SAFETY: the caller promises that the header leads to its control buffer.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: the pointer is not null and leads to a message within the buffer. The kernel's
        // messages of this kind hold a value of this type, aligned or not.
        unsafe {
            let kind = ((*message).cmsg_level, (*message).cmsg_type);
            if kind == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
                let data: libc::tpacket_auxdata =
                    libc::CMSG_DATA(message).cast::<libc::tpacket_auxdata>().read_unaligned();
                return data.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    false
}

/// Sends what the headers describe, going on after a frame that was refused.
///
/// # Safety
///
/// Each header must point to one vector, and that to a frame, and to an address or none, all of
/// which outlive the call.
unsafe fn send_all(socket: &PacketSocket, mut headers: &mut [libc::mmsghdr]) -> Sent {
    let mut tally = Sent::default();
    let mut was_down = false;
    while !headers.is_empty() {
        // SAFETY: the caller promises the same about more of these headers.
        let done = match unsafe { send_once(socket, headers) } {
            Ok(count) => {
                tally.sent += count as u64;
                count
            }
            Err(Errno::INTR) => 0,
            Err(Errno::NOBUFS | Errno::NOMEM) => {
                tally.congested += 1;
                1
            }
            Err(Errno::AGAIN) => {
                tally.congested += headers.len() as u64;
                break;
            }
            // The first time it may be left over from when the link was down.
            Err(Errno::NETDOWN) if !was_down => {
                was_down = true;
                0
            }
            Err(Errno::NETDOWN | Errno::NXIO | Errno::NODEV) => {
                tally.link_down += headers.len() as u64;
                break;
            }
            Err(_) => {
                tally.refused += 1;
                1
            }
        };
        headers = headers.get_mut(done..).unwrap_or_default();
    }
    tally
}

/// Sends as many frames as the kernel takes; an error is about the first of them.
///
/// # Safety
///
/// Each header must point to one vector, and that to a frame, and to an address or none, all of
/// which outlive the call.
unsafe fn send_once(socket: &PacketSocket, headers: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = libc::c_uint::try_from(headers.len()).unwrap_or(BATCH_U32);
    // SAFETY: there are at least `count` headers, and what they point to is valid as the caller
    // promises; the kernel only reads the frames and the address.
    let result = unsafe {
        libc::sendmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT)
    };
    usize::try_from(result).map_err(|_| last_errno())
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: a header is made of numbers and pointers; zero and null are valid for all.
    unsafe { mem::zeroed() }
}

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

/// Room for one note of the kernel's, whose header takes as much again on some machines.
const CONTROL_LEN: usize = 64;

const BATCH_U32: libc::c_uint = 32;
const _: () = assert!(BATCH_U32 as usize == BATCH);

const ADDRESS_LEN: libc::socklen_t = 20;
const _: () = assert!(ADDRESS_LEN as usize == size_of::<libc::sockaddr_ll>());

/// A full batch of frames of the usual size, and one of the largest.
const ARENA: usize = BATCH * 256 + SEND_CAPACITY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_batch_of_small_frames_and_no_more() {
        let mut batch = SendBatch::new();
        for count in 0..BATCH {
            assert_eq!(batch.len(), count);
            assert_eq!(batch.slot().unwrap().len(), SEND_CAPACITY);
            batch.commit(256);
        }
        assert_eq!(batch.slot(), None);
        batch.commit(1);
        assert_eq!(batch.len(), BATCH);
    }

    #[test]
    fn takes_large_frames_while_there_is_room() {
        let mut batch = SendBatch::new();
        while batch.slot().is_some() {
            batch.commit(usize::MAX);
        }
        assert_eq!(batch.len(), ARENA / SEND_CAPACITY);
    }

    #[test]
    fn frames_do_not_overlap() {
        let mut batch = SendBatch::new();
        for octet in [1, 2, 3] {
            batch.slot().unwrap().fill(octet);
            batch.commit(2);
        }
        assert_eq!(batch.octets.get(..6), Some([1, 1, 2, 2, 3, 3].as_slice()));
    }
}
