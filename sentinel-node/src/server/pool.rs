//! Buffers of the thread of the clients, lent to connections while they are active: an idle connection holds none.

use std::cell::RefCell;

use bytes::BytesMut;

/// First size of a buffer; Redis: `PROTO_IOBUF_LEN`.
const BUFFER_BYTES: usize = 16 * 1024;
/// Larger buffers are not kept.
const KEEP_BYTES: usize = 256 * 1024;
/// Buffers kept per thread.
const KEEP_COUNT: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with some room.
pub(super) fn take() -> BytesMut {
    let free = FREE.with(|free| free.try_borrow_mut().ok().and_then(|mut free| free.pop()));
    free.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Gives a buffer back; its content is dropped.
pub(super) fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    // Words that were split off may still share the allocation; `reserve` takes it back when they are gone.
    if !buffer.try_reclaim(BUFFER_BYTES) || buffer.capacity() > KEEP_BYTES {
        return;
    }
    FREE.with(|free| {
        if let Ok(mut free) = free.try_borrow_mut() {
            if free.len() < KEEP_COUNT {
                free.push(buffer);
            }
        }
    });
}

/// Runs `read` with this thread's read buffer of [`BUFFER_BYTES`].
pub(super) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            scratch.resize(BUFFER_BYTES, 0);
            read(&mut scratch)
        }
        // Never within itself; a buffer of its own would do as well.
        Err(_) => read(&mut vec![0; BUFFER_BYTES]),
    })
}
