//! Appends octets to a buffer that the caller owns.

/// The buffer cannot hold the frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the buffer is too small for the frame")]
pub struct BufferTooSmall;

pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    pub(crate) fn put(&mut self, octets: &[u8]) -> Result<(), BufferTooSmall> {
        let end = self.length + octets.len();
        self.buffer.get_mut(self.length..end).ok_or(BufferTooSmall)?.copy_from_slice(octets);
        self.length = end;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}
