//! Counts what had to be repaired.

/// What the daemon put in order since it started, besides host routes, which the engines count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Times that links, addresses and routes were read anew, the start included.
    pub(crate) resyncs: u64,
    /// Multicast groups that the kernel had left by itself and that are joined again.
    pub(crate) groups_restored: u64,
    /// Packet sockets that failed and were opened anew.
    pub(crate) sockets_reopened: u64,
    /// Times that the guard was gone and was put back.
    pub(crate) guards_restored: u64,
    /// Settings of the kernel's that were changed back, with `--fix`.
    pub(crate) settings_restored: u64,
    /// Hosts that were looked for where they had been: before the start, or before their link or
    /// their prefix had gone.
    pub(crate) hosts_recalled: u64,
}

impl Tally {
    /// Returns every count with its stable name.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("resyncs", self.resyncs),
            ("groups_restored", self.groups_restored),
            ("sockets_reopened", self.sockets_reopened),
            ("guards_restored", self.guards_restored),
            ("settings_restored", self.settings_restored),
            ("hosts_recalled", self.hosts_recalled),
        ]
        .into_iter()
    }
}
