//! The wish to stop early: runs under way end and clean up behind themselves, none begins any more.

use std::sync::Arc;

use tokio::sync::watch;

/// Cheap to clone; all clones are one wish.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<watch::Sender<bool>>);

impl Default for Interrupt {
    fn default() -> Interrupt {
        Interrupt(Arc::new(watch::Sender::new(false)))
    }
}

impl Interrupt {
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn happens(&self) {
        // The sender is here: the wait cannot end otherwise.
        let _ = self.0.subscribe().wait_for(|is_set| *is_set).await;
    }
}
