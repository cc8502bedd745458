//! fake-kube: the API server with controllers, a kubelet and a listener.
