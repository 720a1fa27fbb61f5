//! Ports for what tests start.

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below those that the system gives to connections, any of which could take one before its owner does.
const PORTS: Range<u16> = 12_000..32_000;

/// A port that nobody listens on, and that no other test is given, in this process or another, until this one ends.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let from = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() as usize * 37;
    let mut all = PORTS.cycle().skip(from % PORTS.len()).take(PORTS.len());
    all.find(|port| reserve(*port)).expect("a free port")
}

/// Whether this port is ours from now on.
fn reserve(port: u16) -> bool {
    let folder = std::env::temp_dir().join("sealgate-ports");
    let file = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(port.to_string())));
    let file = file.expect("a file for a port");
    let is_ours = file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
    if is_ours {
        // The lock goes with the process.
        std::mem::forget(file);
    }
    is_ours
}
