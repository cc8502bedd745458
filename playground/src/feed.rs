//! What pages are told, as Server-sent events. Two sorts: frames, each of which matters, numbered and kept in a ring; and
//! topics, of which only the newest state matters. A reader pulls, so a slow one costs nothing: when the ring has gone on
//! without it, its stream ends, and the browser comes back and is told that it missed something.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Frames kept for pages that open late or come back.
const FRAMES_MAX: usize = 20_000;
const BYTES_MAX: usize = 12 << 20;
/// Frames in one message.
const BATCH: usize = 500;
/// So often at least something is sent: a reader that takes none of it is gone.
pub const BEAT: Duration = Duration::from_secs(10);

/// A cheap handle; clones are the same feed. Written from any thread.
#[derive(Clone)]
pub struct Feed {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
    frames_max: usize,
    bytes_max: usize,
}

struct State {
    /// Tells this feed from the one of another run at the same address.
    epoch: String,
    frames: VecDeque<Arc<str>>,
    /// Number of the first frame in the ring; they count from 1.
    first: u64,
    bytes: usize,
    topics: BTreeMap<&'static str, (u64, Arc<str>)>,
    versions: u64,
    is_closed: bool,
}

impl State {
    fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }
}

impl Feed {
    pub fn new(epoch: &str) -> Feed {
        Feed::bounded(epoch, FRAMES_MAX, BYTES_MAX)
    }

    /// A feed that keeps less.
    pub fn bounded(epoch: &str, frames_max: usize, bytes_max: usize) -> Feed {
        let state = State {
            epoch: epoch.to_owned(),
            frames: VecDeque::new(),
            first: 1,
            bytes: 0,
            topics: BTreeMap::new(),
            versions: 0,
            is_closed: false,
        };
        let changed = Arc::new(watch::Sender::new(()));
        Feed { state: Arc::new(Mutex::new(state)), changed, frames_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened: one JSON value in one line.
    pub fn push(&self, json: &str) {
        debug_assert!(!json.contains('\n'), "a line would end the message");
        let mut state = self.lock();
        state.bytes += json.len();
        state.frames.push_back(Arc::from(json));
        while state.frames.len() > self.frames_max || state.bytes > self.bytes_max {
            let Some(gone) = state.frames.pop_front() else { break };
            state.bytes -= gone.len();
            state.first += 1;
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// The state of something now; the same as before is no news.
    pub fn set(&self, topic: &'static str, json: &str) {
        let mut state = self.lock();
        if state.topics.get(topic).is_some_and(|(_, old)| **old == *json) {
            return;
        }
        state.versions += 1;
        let version = state.versions;
        state.topics.insert(topic, (version, Arc::from(json)));
        drop(state);
        self.changed.send_replace(());
    }

    /// All streams end, and none begins any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.send_replace(());
    }

    /// How many pages look.
    pub fn readers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// For a page that opens, or comes back with the last id it has seen.
    pub fn read(&self, last_id: Option<&str>) -> Reader {
        let state = self.lock();
        let wanted = last_id.and_then(|id| {
            let (epoch, number) = id.rsplit_once('-')?;
            let number: u64 = number.parse().ok()?;
            (epoch == state.epoch && number < state.next()).then_some(number + 1)
        });
        let resumes = wanted.is_some_and(|wanted| wanted >= state.first);
        let greeting = match (last_id, resumes) {
            (Some(_), false) => "event: reset\ndata: {}\n\n".to_owned(),
            _ => String::new(),
        };
        Reader {
            feed: self.clone(),
            changed: self.changed.subscribe(),
            cursor: wanted.filter(|_| resumes).unwrap_or(state.first),
            seen: BTreeMap::new(),
            greeting: format!("retry: 1000\n\n{greeting}"),
        }
    }
}

/// One page's place in the feed.
pub struct Reader {
    feed: Feed,
    changed: watch::Receiver<()>,
    /// Number of the frame it wants next.
    cursor: u64,
    seen: BTreeMap<&'static str, u64>,
    greeting: String,
}

impl Reader {
    /// The next message, at the latest after [`BEAT`]. None: the stream ends.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            self.changed.borrow_and_update();
            let text = self.take()?;
            if !text.is_empty() {
                return Some(text);
            }
            match tokio::time::timeout(BEAT, self.changed.changed()).await {
                Err(_) => return Some(": beat\n\n".to_owned()),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {}
            }
        }
    }

    /// What is new now; empty for nothing.
    pub fn take(&mut self) -> Option<String> {
        let state = self.feed.lock();
        if state.is_closed || self.cursor < state.first {
            return None;
        }
        let mut text = std::mem::take(&mut self.greeting);
        for (topic, (version, json)) in &state.topics {
            if self.seen.get(topic) != Some(version) {
                self.seen.insert(topic, *version);
                text.push_str(&format!("event: {topic}\ndata: {json}\n\n"));
            }
        }
        let skipped = usize::try_from(self.cursor - state.first).unwrap_or(usize::MAX);
        let batch: Vec<&str> = state.frames.iter().skip(skipped).take(BATCH).map(|frame| &**frame).collect();
        if !batch.is_empty() {
            self.cursor += batch.len() as u64;
            let id = format!("{}-{}", state.epoch, self.cursor - 1);
            text.push_str(&format!("id: {id}\nevent: happened\ndata: [{}]\n\n", batch.join(",")));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_frames(count: u32, frames_max: usize) -> Feed {
        let feed = Feed::bounded("e", frames_max, 1 << 20);
        (1..=count).for_each(|n| feed.push(&n.to_string()));
        feed
    }

    fn check(feed: &Feed, last_id: Option<&str>, expected: &str) {
        let text = feed.read(last_id).take().expect("an open feed");
        assert_eq!(text.strip_prefix("retry: 1000\n\n"), Some(expected), "{last_id:?}");
    }

    #[test]
    fn a_page_that_comes_back_goes_on_where_it_was() {
        let feed = with_frames(3, 10);
        check(&feed, None, "id: e-3\nevent: happened\ndata: [1,2,3]\n\n");
        check(&feed, Some("e-2"), "id: e-3\nevent: happened\ndata: [3]\n\n");
        check(&feed, Some("e-3"), "");
    }

    #[test]
    fn a_page_that_cannot_go_on_is_told_to_begin_anew() {
        let feed = with_frames(9, 3);
        let anew = "event: reset\ndata: {}\n\nid: e-9\nevent: happened\ndata: [7,8,9]\n\n";
        for id in ["e-5", "other-8", "e-9000", "e", "", "e--1", "e-x"] {
            check(&feed, Some(id), anew);
        }
        // The oldest one left is the next one it wants.
        check(&feed, Some("e-6"), "id: e-9\nevent: happened\ndata: [7,8,9]\n\n");
    }

    #[test]
    fn the_ring_is_bounded_in_frames_and_bytes() {
        assert_eq!(with_frames(1000, 3).lock().frames.len(), 3);
        let feed = Feed::bounded("e", 1000, 10);
        (0..100).for_each(|_| feed.push("1234"));
        let state = feed.lock();
        assert_eq!((state.frames.len(), state.bytes), (2, 8));
    }

    #[test]
    fn a_reader_that_fell_behind_is_cut() {
        let feed = with_frames(2, 3);
        let mut reader = feed.read(None);
        assert!(reader.take().is_some());
        (0..4).for_each(|n| feed.push(&n.to_string()));
        assert_eq!(reader.take(), None);
    }

    #[test]
    fn of_a_topic_only_the_newest_state_is_told_and_once() {
        let feed = Feed::new("e");
        let mut reader = feed.read(None);
        feed.set("clock", "1");
        feed.set("clock", "2");
        assert_eq!(reader.take().as_deref(), Some("retry: 1000\n\nevent: clock\ndata: 2\n\n"));
        feed.set("clock", "2");
        assert_eq!(reader.take().as_deref(), Some(""));
    }

    #[test]
    fn large_backlogs_come_in_batches() {
        let feed = with_frames(1200, 2000);
        let mut reader = feed.read(None);
        let ids: Vec<String> = (0..3)
            .filter_map(|_| reader.take())
            .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("id: ").map(str::to_owned)))
            .collect();
        assert_eq!(ids, ["e-500", "e-1000", "e-1200"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_feed_beats_and_a_closed_one_ends() {
        let feed = Feed::new("e");
        let mut reader = feed.read(None);
        assert_eq!(reader.next().await.as_deref(), Some("retry: 1000\n\n"));
        assert_eq!(reader.next().await.as_deref(), Some(": beat\n\n"));
        feed.close();
        assert_eq!(reader.next().await, None);
        assert_eq!(feed.read(None).next().await, None);
    }
}
