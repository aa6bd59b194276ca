//! Tells the service manager how the daemon is doing.

use sd_notify::NotifyState;

/// Says that the daemon serves, and in a few words what.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the daemon exchanges its configuration; [`ready`] says that this is over.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => tell(&[NotifyState::Reloading, time]),
        Err(error) => tracing::debug!(%error, "cannot notify the service manager"),
    }
}

/// Says that the daemon is on its way out.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(news: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, and nobody to miss it.
    if let Err(error) = sd_notify::notify(news) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
