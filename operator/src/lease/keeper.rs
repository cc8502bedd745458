//! Sends what the rules say: waits for the lease, keeps it, gives it back. One request per renewal.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::LeaseConfig;
use super::rules::{Move, Rules};
use crate::api::{Api, ApiError, Place};
use crate::clock::Clock;
use crate::fence::Fence;
use crate::observer::PassObserver;

pub(crate) struct Keeper {
    api: Api,
    clock: Arc<dyn Clock>,
    config: LeaseConfig,
    rules: Rules,
    place: Place,
    /// As the server last answered it; a renewal starts from here and needs no GET.
    stored: Option<Value>,
    fence: Fence,
    /// `renew_deadline` after the last successful renewal was begun.
    held_until: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(
        client: kube::Client,
        clock: Arc<dyn Clock>,
        config: LeaseConfig,
        me: String,
        observer: Arc<dyn PassObserver>,
    ) -> Keeper {
        Keeper {
            // The lease itself is written without owning it; versions guard it.
            api: Api::new(client, Arc::clone(&clock), Fence::open(), observer),
            place: Place::new("coordination.k8s.io/v1", "leases", &config.namespace),
            rules: Rules::new(config.clone(), me),
            fence: Fence::shut(),
            held_until: None,
            stored: None,
            clock,
            config,
        }
    }

    /// Opens while the lease is held.
    pub(crate) fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Waits until the lease is ours.
    pub(crate) async fn acquire(&mut self) {
        loop {
            match self.attempt().await {
                Attempt::Held => return,
                Attempt::Foreign(holder) => {
                    tracing::info!(lease = self.config.name, holder, "wait for the lease")
                }
                Attempt::Unknown(error) => {
                    tracing::warn!(lease = self.config.name, %error, "could not take the lease, trying again");
                }
            }
            self.pause().await;
        }
    }

    /// Renews until that fails; the answer says why it is lost.
    pub(crate) async fn keep(&mut self) -> String {
        loop {
            self.pause().await;
            let Some(held_until) = self.held_until else { return "not held".to_owned() };
            let attempt = tokio::time::timeout_at(held_until, self.attempt()).await;
            let why = match attempt {
                Ok(Attempt::Held) => continue,
                Ok(Attempt::Foreign(holder)) => format!("held by {holder}"),
                Ok(Attempt::Unknown(error)) if Instant::now() < held_until => {
                    tracing::warn!(lease = self.config.name, %error, "could not renew the lease, trying again");
                    continue;
                }
                Ok(Attempt::Unknown(error)) => format!("not renewed in time: {error}"),
                Err(_) => "not renewed in time: no answer".to_owned(),
            };
            self.lost();
            return why;
        }
    }

    /// Gives the lease back; if that fails, it expires.
    pub(crate) async fn release(&mut self) {
        self.lost();
        let Some(stored) = self.stored.take() else { return };
        let released = self.rules.released(&stored, self.clock.now());
        let request = self.api.replace(&self.place, &self.config.name, &released);
        let limit = self.clock.runtime(self.config.retry_period);
        match tokio::time::timeout(limit, request).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(lease = self.config.name, %error, "could not release the lease"),
            Err(_) => tracing::warn!(lease = self.config.name, "no answer to the release of the lease"),
        }
    }

    fn lost(&mut self) {
        self.held_until = None;
        self.fence.move_to(None);
    }

    async fn pause(&self) {
        tokio::time::sleep(self.clock.runtime(self.config.retry_period)).await;
    }

    /// One round: judge what is stored and write if that is ours to do.
    async fn attempt(&mut self) -> Attempt {
        if self.stored.is_none() {
            match self.api.get(&self.place, &self.config.name).await {
                Ok(lease) => self.stored = Some(lease),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Attempt::Unknown(e),
            }
        }
        let begun = Instant::now();
        let clock = Arc::clone(&self.clock);
        let m = self.rules.judge(self.stored.as_ref(), clock.now(), begun, |d| clock.runtime(d));
        let written = match m {
            Move::Wait { holder } => {
                // What others write is read anew each time.
                self.stored = None;
                return Attempt::Foreign(holder);
            }
            Move::Create(lease) => self.api.create(&self.place, &lease).await,
            Move::Take(lease) => self.api.replace(&self.place, &self.config.name, &lease).await,
        };
        match written {
            Ok(lease) => {
                self.stored = Some(lease);
                self.held_until = Some(begun + clock.runtime(self.config.renew_deadline));
                self.fence.move_to(self.held_until);
                Attempt::Held
            }
            Err(e) => {
                // Somebody was faster, or the reply was lost: the server knows.
                self.stored = None;
                Attempt::Unknown(e)
            }
        }
    }
}

enum Attempt {
    Held,
    Foreign(String),
    Unknown(ApiError),
}
