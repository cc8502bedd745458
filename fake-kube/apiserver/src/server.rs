//! The server: one state behind one lock, handed out through [`ApiServer`].
//!
//! No task and no thread: work happens inside the calls, time comes from the clock handed in. Wakers and observers run
//! after the lock is released.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use serde_json::json;

use crate::admission::Webhooks;
use crate::admission::asking::Pending;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::fault::{Change, Gate, Observer, RequestRecord};
use crate::local::LocalClient;
use crate::pods::PodBackend;
use crate::rbac::Attributes;
use crate::rbac::impersonate::Asked;
use crate::rbac::tokens::TokenKey;
use crate::registry::Registry;
use crate::request::{self, Params};
use crate::resource::Resource;
use crate::seeded::Seeded;
use crate::service::ApiService;
use crate::status::Status;
use crate::store::{Event, HistoryLimits, Store};

/// Who asks. Default: an administrator.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// What an authenticator or impersonation said beyond the name.
    pub extra: Vec<(String, Vec<String>)>,
}

impl User {
    pub fn admin() -> User {
        User::new("system:admin", &["system:masters"])
    }

    /// Who gives no credentials.
    pub fn anonymous() -> User {
        let groups = vec!["system:unauthenticated".to_owned()];
        User { name: "system:anonymous".to_owned(), uid: String::new(), groups, extra: Vec::new() }
    }

    pub fn new(name: &str, groups: &[&str]) -> User {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        groups.push("system:authenticated".to_owned());
        User { name: name.to_owned(), uid: String::new(), groups, extra: Vec::new() }
    }
}

/// What a server is made with; `Options::new(clock)` has the defaults.
#[derive(Clone)]
pub struct Options {
    pub clock: Arc<dyn Clock>,
    /// Source of uids, generated names and watch jitter.
    pub seed: u64,
    pub history: HistoryLimits,
    /// How many objects of kinds that only clients read are kept as trees beside their text; a tree takes ten times as
    /// much memory. None, the default: all, which is the fastest for readers in this process.
    pub trees_max: Option<usize>,
    /// Creates the namespaces, and the service `kubernetes`, that every cluster has (kube-api.md 2.15).
    pub bootstrap: bool,
    /// `host:port` shown in `/api`.
    pub address: String,
    /// Holds every request through [`ApiServer::service`] to the roles and bindings that are stored, and starts with the
    /// usual ones. Off: everybody may do everything. Clients from [`ApiServer::client`] are never held to anything.
    pub rbac: bool,
}

impl Options {
    pub fn new(clock: Arc<dyn Clock>) -> Options {
        Options {
            clock,
            seed: 0,
            history: HistoryLimits::default(),
            trees_max: None,
            bootstrap: true,
            address: "127.0.0.1:6443".to_owned(),
            rbac: false,
        }
    }
}

/// A Kubernetes API server in this process. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: RwLock<Option<Arc<dyn Gate>>>,
    observer: RwLock<Option<Arc<dyn Observer>>>,
    pub(crate) pods: RwLock<Option<Arc<dyn PodBackend>>>,
    pub(crate) webhooks: RwLock<Option<Arc<dyn Webhooks>>>,
    /// Writes whose clients do not wait for webhooks.
    pub(crate) pending: Mutex<Vec<Pending>>,
    pub(crate) address: RwLock<String>,
    pub(crate) rbac: bool,
    keeps_all_trees: bool,
}

/// Everything behind the lock.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) seeded: Seeded,
    pub(crate) services: crate::service_ip::Allocated,
    /// CRDs whose registration or removal has a next step (crd.rs).
    pub(crate) pending_crds: Vec<String>,
    /// The spec each registered CRD was last served with.
    pub(crate) crd_specs: std::collections::BTreeMap<String, String>,
    pub(crate) rbac: bool,
    pub(crate) token_key: TokenKey,
    /// The webhook configurations, read at first use and after each change of one.
    pub(crate) hooks: Option<Arc<crate::admission::hooks::Hooks>>,
    observed: bool,
    told: u64,
}

impl ApiServer {
    pub fn new(options: Options) -> ApiServer {
        let mut store = Store::new(options.history);
        let registry = Registry::new(&mut store);
        let state = State::new(store, registry, Seeded::new(options.seed));
        let (should_bootstrap, is_restricted) = (options.bootstrap, options.bootstrap && options.rbac);
        let server = ApiServer::of(state, options);
        if should_bootstrap {
            server.bootstrap();
        }
        if is_restricted {
            let installed = crate::rbac::bootstrap::install(&server.client("system:apiserver"));
            installed.expect("an empty server takes the roles it starts with");
        }
        server
    }

    pub(crate) fn of(mut state: State, options: Options) -> ApiServer {
        state.rbac = options.rbac;
        state.store.limit_trees(options.trees_max);
        state.token_key = TokenKey::new(options.seed);
        ApiServer {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                clock: options.clock,
                gate: RwLock::default(),
                observer: RwLock::default(),
                pods: RwLock::default(),
                webhooks: RwLock::default(),
                pending: Mutex::default(),
                address: RwLock::new(options.address),
                rbac: options.rbac,
                keeps_all_trees: options.trees_max.is_none(),
            }),
        }
    }

    /// The HTTP face, every request made as `user` unless it impersonates.
    pub fn service(&self, user: User) -> ApiService {
        ApiService::new(self.clone(), user)
    }

    /// The in-process face: synchronous, same admission and validation, no gate.
    pub fn client(&self, actor: &str) -> LocalClient {
        LocalClient::new(self.clone(), actor)
    }

    /// Every change from now on.
    pub fn changes(&self) -> Changes {
        Changes::new(self.clone())
    }

    pub fn set_gate(&self, gate: Arc<dyn Gate>) {
        *self.shared.gate.write().unwrap_or_else(PoisonError::into_inner) = Some(gate);
    }

    /// What was set last: for a gate that stands before another.
    pub fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.shared.gate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        *self.shared.observer.write().unwrap_or_else(PoisonError::into_inner) = Some(observer);
        self.with(|s| {
            s.observed = true;
            s.told = s.store.revision();
        });
    }

    /// Who answers log and exec; without one pods have no logs.
    pub fn set_pod_backend(&self, pods: Arc<dyn PodBackend>) {
        *self.shared.pods.write().unwrap_or_else(PoisonError::into_inner) = Some(pods);
    }

    /// The current revision of the store.
    pub fn revision(&self) -> u64 {
        self.with(|s| s.store.revision())
    }

    /// Forgets the history up to `revision` (a compaction): older watches and exact lists get 410.
    pub fn compact(&self, revision: u64) {
        self.with(|s| s.store.compact_to(revision));
    }

    /// Ends every running watch of a resource cleanly, as an API server restart would.
    pub fn end_watches(&self, resource: &Resource) {
        self.with(|s| {
            let table = s.registry.get(&resource.group, &resource.version, &resource.plural).map(|d| d.table);
            if let Some(t) = table {
                s.store.end_watches(t);
            }
        });
    }

    /// Ends every running watch.
    pub fn end_all_watches(&self) {
        self.with(|s| s.store.end_all_watches());
    }

    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// `host:port` shown in `/api` from now on, for a server that is bound after it was made.
    pub fn set_address(&self, address: &str) {
        address.clone_into(&mut self.shared.address.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether every object is kept as a tree ([`Options::trees_max`]).
    pub fn keeps_all_trees(&self) -> bool {
        self.shared.keeps_all_trees
    }

    /// Whether requests are held to roles ([`Options::rbac`]).
    pub fn enforces_rbac(&self) -> bool {
        self.shared.rbac
    }

    /// Whom a request is made as: the user who sends it, or the one it asks to act as.
    pub fn acting(&self, user: &User, headers: &http::HeaderMap) -> Result<User, Status> {
        match Asked::of(headers) {
            None => Ok(user.clone()),
            Some(asked) => self.with(|s| s.impersonate(user, &asked)),
        }
    }

    /// Why a user may not make a request, if so: for what answers beside [`ApiServer::service`], a proxy for example.
    pub fn refusal(&self, user: &User, method: &http::Method, uri: &http::Uri) -> Option<Status> {
        let params = Params::parse(uri.query().unwrap_or(""));
        let route = request::route(uri.path());
        let verb = route.as_ref().map_or("", |r| request::verb(method, r, &params));
        let asked = Attributes::of(method.as_str(), uri.path(), verb, route.as_ref(), &params);
        self.with(|s| s.authorize(user, &asked)).err()
    }

    /// Runs `f` under the lock, then wakes watchers and tells the observer.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let (out, wake, changes) = {
            let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            let out = f(&mut state);
            state.settle_crds(self.shared.clock.now());
            let changes = state.untold();
            (out, std::mem::take(&mut state.store.to_wake), changes)
        };
        wake.into_iter().for_each(std::task::Waker::wake);
        if !changes.is_empty() {
            let observer = self.shared.observer.read().unwrap_or_else(PoisonError::into_inner).clone();
            for change in &changes {
                if let Some(o) = &observer {
                    o.on_change(change);
                }
            }
        }
        out
    }

    pub(crate) fn tell_request(&self, make: impl FnOnce() -> RequestRecord) {
        let observer = self.shared.observer.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(o) = observer {
            o.on_request(&make());
        }
    }

    fn bootstrap(&self) {
        let client = self.client("system:apiserver");
        let namespaces = Resource::core("namespaces");
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            client.create(&namespaces, "", object).expect("an empty server takes its own namespaces");
        }
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]}});
        client
            .create(&Resource::core("services"), "default", service)
            .expect("an empty server takes its own service");
    }
}

impl State {
    pub(crate) fn new(store: Store, registry: Registry, seeded: Seeded) -> State {
        State {
            store,
            registry,
            seeded,
            services: Default::default(),
            pending_crds: Vec::new(),
            crd_specs: Default::default(),
            rbac: false,
            token_key: TokenKey::new(0),
            hooks: None,
            observed: false,
            told: 0,
        }
    }

    /// Changes the observer has not seen yet.
    fn untold(&mut self) -> Vec<Change> {
        if !self.observed || self.told == self.store.revision() {
            return Vec::new();
        }
        let out: Vec<Change> = self.store.all_after(self.told).filter_map(|e| self.change(e)).collect();
        self.told = self.store.revision();
        out
    }

    /// An event of the history as the outside sees it.
    pub(crate) fn change(&self, e: &Event) -> Option<Change> {
        Some(Change {
            revision: e.revision,
            at: e.at,
            kind: e.kind,
            resource: self.registry.storage(e.table)?.resource(),
            object: e.object.value(),
            old: e.old.as_ref().map(|o| o.value()),
            actor: e.actor.clone(),
        })
    }
}
