//! How a container is stopped: `preStop`, its turn among the containers of the pod, SIGTERM, SIGKILL when the grace is
//! over (kubernetes 1.35 kuberuntime `killContainer`, `executePreStopHook`). The hook's time is taken from the grace, and
//! two seconds are always left to the process.

use jiff::Timestamp;

use super::container::{Container, World};
use super::hooks::{self, Hook};
use crate::json::*;
use crate::programs::Signal;
use crate::write::EventKind;

/// `minimumGracePeriodInSeconds`
const GRACE_MIN_SECS: i64 = 2;

pub(super) struct Stop {
    begun: Timestamp,
    /// When the grace is over, for the hook and for waiting.
    grace_until: Timestamp,
    hook: Option<Hook>,
    /// Nobody has to end before it.
    turn: bool,
    /// SIGTERM was sent; SIGKILL follows then.
    kill_at: Option<Timestamp>,
    /// The process is gone, and reported then.
    ended: Option<(Timestamp, Exit)>,
}

/// Code, reason and message.
type Exit = (i32, String, String);

impl Stop {
    /// The process has ended; told at `at`, and not before a pause of the hook is over.
    pub fn note_end(&mut self, at: Timestamp, now: Timestamp, exit: Exit) {
        let latest = self.kill_at.unwrap_or(self.grace_until).max(now);
        let pause = self.hook.as_ref().and_then(Hook::outlives).map(|t| t.min(self.grace_until));
        let at = at.min(latest).max(pause.unwrap_or(now));
        self.ended.get_or_insert((at, exit));
    }

    pub fn due(&self) -> Timestamp {
        if let Some((at, _)) = &self.ended {
            return *at;
        }
        if let Some(kill_at) = self.kill_at {
            return kill_at;
        }
        match &self.hook {
            Some(hook) => hook.until.unwrap_or(self.grace_until).min(self.grace_until),
            None => self.grace_until,
        }
    }
}

impl Container {
    /// `preStop`, then SIGTERM when its turn has come, SIGKILL after the grace. Containers that do not run are simply not
    /// begun any more.
    pub fn stop(&mut self, w: &mut World, grace_secs: i64, message: String, turn: bool) {
        if !self.is_running() {
            return;
        }
        let until = after_secs(w.now, grace_secs);
        if let Some(stop) = &mut self.stop {
            stop.grace_until = stop.grace_until.min(until);
            if let Some(kill_at) = &mut stop.kill_at {
                *kill_at = (*kill_at).min(until.max(after_secs(w.now, GRACE_MIN_SECS)));
            }
            stop.turn |= turn;
            return self.finish_stop(w);
        }
        self.forget_post_start();
        self.tell(w, EventKind::Normal, "Killing", message);
        let handler = at(self.spec(w.pod), "/lifecycle/preStop").clone();
        let spec = self.spec(w.pod).clone();
        let hook = match &mut self.process {
            Some(process) if handler.is_object() && grace_secs > 0 => {
                Some(hooks::begin(&handler, &spec, &mut **process, w))
            }
            _ => None,
        };
        self.stop = Some(Stop { begun: w.now, grace_until: until, hook, turn, kill_at: None, ended: None });
        self.finish_stop(w);
    }

    pub(super) fn finish_stop(&mut self, w: &mut World) {
        self.ask_to_end(w);
        let Some(stop) = &self.stop else { return };
        let kill = match (&stop.ended, stop.kill_at) {
            (Some((at, exit)), _) if *at <= w.now => {
                let (code, reason, message) = exit.clone();
                self.tell_cut_short(w);
                return self.end(w.now, code, &reason, &message);
            }
            (Some(_), _) => false,
            (None, Some(kill_at)) => kill_at <= w.now,
            (None, None) => false,
        };
        if kill {
            self.tell_cut_short(w);
            self.kill_now(w, 137, "", "");
        }
    }

    /// SIGTERM, once the hook is over and its turn has come, or there is no more time for either.
    fn ask_to_end(&mut self, w: &mut World) {
        let Some(stop) = &mut self.stop else { return };
        if stop.kill_at.is_some() || stop.ended.is_some() {
            return;
        }
        if let (Some(hook), Some(process)) = (&mut stop.hook, &mut self.process) {
            hook.look(&mut **process, w.now);
        }
        let is_late = stop.grace_until <= w.now;
        let is_done = stop.hook.as_ref().is_none_or(|hook| hook.until.is_some_and(|t| t <= w.now));
        if !(is_late || is_done && stop.turn) {
            return;
        }
        // Whole seconds are taken off.
        let took = w.now.duration_since(stop.begun).as_secs();
        let grace = stop.grace_until.duration_since(stop.begun).as_secs();
        stop.kill_at = Some(after_secs(w.now, (grace - took).max(GRACE_MIN_SECS)));
        let failed = if is_done { stop.hook.take().and_then(|hook| hook.failure) } else { None };
        if failed.is_some() {
            self.tell_failed(w);
        }
        if w.faults.hangs(w.pod) {
            return;
        }
        let events = self.process.as_mut().map(|p| p.signal(Signal::Term, w.now)).unwrap_or_default();
        self.take(w, events);
    }

    /// A command that is still under way dies with the container.
    fn tell_cut_short(&self, w: &mut World) {
        let hook = self.stop.as_ref().and_then(|stop| stop.hook.as_ref());
        if hook.is_some_and(|hook| hook.cut_short().is_some()) {
            self.tell_failed(w);
        }
    }

    fn tell_failed(&self, w: &mut World) {
        self.tell(w, EventKind::Warning, "FailedPreStopHook", "PreStopHook failed".into());
    }
}
