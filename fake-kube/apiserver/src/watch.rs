//! WATCH: a cursor into the history, rendered event by event (kube-api.md 2.4).
//!
//! Nothing is queued per watcher: it reads the history when polled and is woken by changes of its namespace. A watcher
//! that the compaction overtakes gets the 410 event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::answer::Shown;
use crate::disturb::Disturbance;
use crate::fields::Filter;
use crate::list;
use crate::negotiate::{Form, WatchRenderer};
use crate::request::Params;
use crate::resource::Definition;
use crate::server::{ApiServer, State};
use crate::service::ConnectionCut;
use crate::status::{Result, Status};
use crate::store::{ChangeKind, Event};
use crate::waiting::Interest;

/// How often a bookmark tells a quiet watcher the version.
const BOOKMARK_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// A last bookmark this long before the end.
const BOOKMARK_BEFORE_END: SignedDuration = SignedDuration::from_secs(2);
/// Most bytes handed out at once.
const CHUNK: usize = 64 * 1024;

/// What a watch request asks for, checked.
pub(crate) struct WatchPlan {
    def: Arc<Definition>,
    namespace: String,
    /// Of the keys of the namespace.
    prefix: String,
    interest: Interest,
    filter: Filter,
    /// Events after this revision.
    from: u64,
    initial: Vec<Shown>,
    /// End the initial events with this bookmark.
    initial_end: Option<u64>,
    bookmarks: bool,
    until: Timestamp,
    epoch: u64,
    id: u64,
    expired: Option<Status>,
}

impl State {
    pub(crate) fn watch(
        &mut self,
        def: &Arc<Definition>,
        namespace: &str,
        params: &Params,
        now: Timestamp,
        stale: Option<u64>,
    ) -> Result<WatchPlan> {
        let filter = Filter::parse(def, params)?;
        let seconds = params.int("timeoutSeconds")?;
        list::check_options(params, true)?;
        let asked = params.text("resourceVersion");
        let revision = if asked.is_empty() { 0 } else { list::version(asked, false)? };
        let send_initial = params.get("sendInitialEvents").filter(|v| !v.is_empty());
        let current = stale.map_or(self.store.revision(), |s| s.min(self.store.revision()));
        let with_initial = match send_initial {
            Some(v) => v != "false",
            None => revision == 0,
        };
        let bookmarks = params.flag("allowWatchBookmarks");
        let mut plan = WatchPlan {
            def: def.clone(),
            namespace: namespace.to_owned(),
            prefix: list::prefix(def, namespace),
            interest: Interest::of(&filter),
            from: if with_initial || revision == 0 { current } else { revision },
            initial: Vec::new(),
            initial_end: (send_initial.is_some() && with_initial && bookmarks).then_some(current),
            bookmarks,
            until: self.watch_end(seconds, now),
            epoch: self.store.epoch(def.table),
            id: self.store.waiter_id(),
            expired: None,
            filter,
        };
        if with_initial {
            let prefix = &plan.prefix;
            let found = match stale {
                Some(n) => self.store.range_at(def.table, prefix, "", n),
                None => self.store.range(def.table, prefix, "").map(|(_, s)| s.clone()).collect(),
            };
            let matching = found.into_iter().filter(|s| plan.filter.passes(s));
            plan.initial = matching.map(Shown::Stored).collect();
        } else if plan.from < self.store.oldest_watch(def.table) {
            plan.expired = Some(too_old(plan.from, self.store.oldest_watch(def.table)));
        }
        Ok(plan)
    }

    /// The end of a watch: as asked, else at random between 30 and 60 minutes.
    fn watch_end(&mut self, seconds: Option<i64>, now: Timestamp) -> Timestamp {
        let seconds = seconds.filter(|s| *s > 0).unwrap_or_else(|| 1800 + self.seeded.below(1800) as i64);
        now.checked_add(SignedDuration::from_secs(seconds.min(86_400 * 365))).unwrap_or(now)
    }
}

fn too_old(asked: u64, compacted: u64) -> Status {
    Status::expired(&format!("too old resource version: {asked} ({compacted})"))
}

/// The stream of one watch.
pub(crate) struct WatchStream {
    server: ApiServer,
    plan: WatchPlan,
    render: WatchRenderer,
    initial: VecDeque<Shown>,
    /// Version the client knows of.
    told: u64,
    timer: Option<(Timestamp, BoxFuture<'static, ()>)>,
    next_bookmark: Timestamp,
    last_bookmark_done: bool,
    /// A fault: cut the connection, or expire, before the first event; or disturbed events.
    fate: Fate,
    /// When the first of the events that a fault holds back is shown.
    held: Option<Timestamp>,
    done: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Fate {
    #[default]
    Live,
    Cut,
    Expire,
    Disturbed(Disturbance),
}

enum Turn {
    Chunk(Bytes),
    End,
    Wait,
}

impl WatchStream {
    pub(crate) fn new(server: ApiServer, mut plan: WatchPlan, form: Form, fate: Fate) -> WatchStream {
        let now = server.now();
        let render = WatchRenderer::new(plan.def.clone(), form);
        WatchStream {
            initial: std::mem::take(&mut plan.initial).into(),
            told: plan.from,
            next_bookmark: now + BOOKMARK_EVERY,
            timer: None,
            last_bookmark_done: false,
            done: false,
            held: None,
            fate,
            server,
            render,
            plan,
        }
    }

    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Bytes, ConnectionCut>>> {
        if self.done {
            return Poll::Ready(None);
        }
        if self.fate == Fate::Cut {
            self.done = true;
            return Poll::Ready(Some(Err(ConnectionCut)));
        }
        loop {
            match self.turn(cx) {
                Turn::Chunk(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Turn::End => {
                    self.done = true;
                    return Poll::Ready(None);
                }
                Turn::Wait => {}
            }
            let due = self.due();
            if self.timer.as_ref().is_none_or(|(at, _)| *at != due) {
                self.timer = Some((due, self.server.shared.clock.sleep_until(due)));
            }
            match self.timer.as_mut().map(|(_, f)| f.poll_unpin(cx)) {
                Some(Poll::Ready(())) => self.timer = None,
                _ => return Poll::Pending,
            }
        }
    }

    fn due(&self) -> Timestamp {
        let mut due = self.held.map_or(self.plan.until, |held| held.min(self.plan.until));
        if self.plan.bookmarks {
            due = due.min(self.next_bookmark);
            if !self.last_bookmark_done {
                due = due.min(self.plan.until - BOOKMARK_BEFORE_END).max(self.server.now());
            }
        }
        due
    }

    /// One step: what there is to send now, the end, or nothing yet.
    fn turn(&mut self, cx: &Context<'_>) -> Turn {
        let now = self.server.now();
        if self.fate == Fate::Expire || self.plan.expired.is_some() {
            let status =
                self.plan.expired.take().unwrap_or_else(|| too_old(self.told, self.server.revision()));
            self.fate = Fate::Live;
            return self.finish(&status);
        }
        let mut out = BytesMut::new();
        self.send_initial(&mut out, now);
        if !out.is_empty() {
            return Turn::Chunk(out.freeze());
        }
        let WatchPlan { namespace, interest, epoch, id, def, .. } = &self.plan;
        let (table, id, epoch) = (def.table, *id, *epoch);
        let is_behind = self.held.is_some();
        let disturbance = match &self.fate {
            Fate::Disturbed(d) if !d.is_over(now) => Some(d.clone()),
            _ => None,
        };
        let (told, mut events, ended, dropped) = self.server.with(|s| {
            let resumed = s.store.resume(table, namespace, interest, id);
            // One whose events are held back waits although there is something for it.
            let told = self.told.max(resumed.filter(|_| !is_behind).unwrap_or(0));
            let events: Vec<Arc<Event>> = s.store.after(table, told).take(1024).cloned().collect();
            let ended = s.store.epoch(table) != epoch;
            if (events.is_empty() || disturbance.is_some()) && !ended {
                s.store.wait(table, namespace, interest, id, cx.waker());
            }
            (told, events, ended, s.store.dropped(table))
        });
        self.told = told;
        if told < dropped {
            return self.finish(&too_old(told, dropped));
        }
        self.held = None;
        let quiet = match disturbance {
            None => {
                for e in &events {
                    self.told = e.revision;
                    self.show(&mut out, std::slice::from_ref(e), now);
                    if out.len() > CHUNK {
                        break;
                    }
                }
                events.is_empty()
            }
            Some(disturbance) => {
                let ready = disturbance.ready(&events, now);
                self.held = events.get(ready).map(|e| disturbance.shown_at(e));
                events.truncate(ready);
                self.told = events.last().map_or(told, |e| e.revision);
                for group in disturbance.arrange(events) {
                    self.show(&mut out, &group, now);
                }
                self.told == told
            }
        };
        if !out.is_empty() {
            return Turn::Chunk(out.freeze());
        }
        if !quiet {
            // Only events of others: look again, and wait if that was all.
            return self.turn(cx);
        }
        if ended || now >= self.plan.until {
            return Turn::End;
        }
        self.bookmark(&mut out, now);
        if out.is_empty() { Turn::Wait } else { Turn::Chunk(out.freeze()) }
    }

    fn finish(&mut self, status: &Status) -> Turn {
        let mut out = BytesMut::new();
        self.render.error(&mut out, &status.to_value());
        self.initial.clear();
        self.plan.until = Timestamp::MIN;
        self.plan.bookmarks = false;
        self.plan.initial_end = None;
        self.plan.epoch = u64::MAX;
        self.told = u64::MAX;
        Turn::Chunk(out.freeze())
    }

    fn send_initial(&mut self, out: &mut BytesMut, now: Timestamp) {
        while let Some(object) = self.initial.pop_front() {
            self.render.event(out, "ADDED", &object, now);
            if out.len() > CHUNK {
                return;
            }
        }
        if let Some(revision) = self.plan.initial_end.take() {
            self.render.bookmark(out, revision, true);
        }
    }

    /// A bookmark, when one is due and the resource went past what this watch was told.
    fn bookmark(&mut self, out: &mut BytesMut, now: Timestamp) {
        if !self.plan.bookmarks {
            return;
        }
        let before_end = !self.last_bookmark_done && now >= self.plan.until - BOOKMARK_BEFORE_END;
        if now < self.next_bookmark && !before_end {
            return;
        }
        self.last_bookmark_done |= before_end;
        if now >= self.next_bookmark {
            self.next_bookmark = now + BOOKMARK_EVERY;
        }
        if self.told > self.plan.from {
            self.plan.from = self.told;
            self.render.bookmark(out, self.told, false);
        }
    }

    fn show(&mut self, out: &mut BytesMut, changes: &[Arc<Event>], now: Timestamp) {
        if let Some((kind, object)) = self.transition(changes) {
            self.render.event(out, kind, &object, now);
        }
    }

    /// What changes of one object, mostly one, mean to this watch: selectors turn them into ADDED or DELETED
    /// (kube-api.md 2.4).
    fn transition(&self, changes: &[Arc<Event>]) -> Option<(&'static str, Shown)> {
        let (first, last) = (changes.first()?, changes.last()?);
        if !first.key.starts_with(&self.plan.prefix) {
            return None;
        }
        let before = |e: &Event| e.old.as_ref().is_some_and(|o| self.plan.filter.passes(o));
        let after = |e: &Event| e.kind != ChangeKind::Deleted && self.plan.filter.passes(&e.object);
        match (before(first), after(last)) {
            (false, false) => None,
            (false, true) => Some(("ADDED", Shown::Stored(last.object.clone()))),
            (true, true) => Some(("MODIFIED", Shown::Stored(last.object.clone()))),
            (true, false) => {
                let left = changes.iter().rev().find(|e| before(e) && !after(e))?;
                if left.kind == ChangeKind::Deleted {
                    return Some(("DELETED", Shown::Stored(left.object.clone())));
                }
                // Stopped matching: the old state under the new version.
                let mut gone: Value = Value::clone(&left.old.as_ref()?.value());
                crate::meta::set(&mut gone, "resourceVersion", json!(left.revision.to_string()));
                Some(("DELETED", Shown::Loose(Arc::new(gone))))
            }
        }
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let (table, id) = (self.plan.def.table, self.plan.id);
        let WatchPlan { namespace, interest, .. } = &self.plan;
        self.server.with(|s| s.store.resume(table, namespace, interest, id));
    }
}
