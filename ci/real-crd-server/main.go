// Command real-crd-server runs the published CRD API server (k8s.io/apiextensions-apiserver, of the release that
// fake-kube emulates) by itself: no core API, no authentication, no authorization, no admission.
// It exists so that a fake API server can be compared with the real one on any machine: `make test-real`.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	apidiscovery "k8s.io/api/apidiscovery/v2"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/client-go/kubernetes/scheme"
)

var (
	etcdServers = flag.String("etcd", "", "etcd client URL; empty starts an embedded etcd on a free port with a temporary directory")
	listen      = flag.String("listen", "127.0.0.1:8001", "plain http address to serve on")
	secure      = flag.String("secure-listen", "127.0.0.1:0", "https address (self-signed); port 0 picks a free one")
)

func main() {
	flag.Parse()
	started := time.Now()
	etcd := *etcdServers
	if etcd == "" {
		etcd = startEtcd()
	}
	server := newServer(etcd)

	plain, err := net.Listen("tcp", *listen)
	check(err)
	prepared := server.PrepareRun()
	go func() { check(http.Serve(plain, server.Handler)) }()
	go func() {
		for {
			if r, err := http.Get("http://" + plain.Addr().String() + "/readyz"); err == nil {
				r.Body.Close()
				if r.StatusCode == http.StatusOK {
					log.Printf("ready url=http://%s after=%s", plain.Addr(), time.Since(started).Round(time.Millisecond))
					return
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	check(prepared.RunWithContext(genericapiserver.SetupSignalContext()))
}

// newServer assembles the CRD server from the library's own options, leaving out everything
// that would need a core API server to talk to.
func newServer(etcd string) *genericapiserver.GenericAPIServer {
	o := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	r := o.RecommendedOptions
	r.Etcd.StorageConfig.Transport.ServerList = []string{etcd}
	host, port, err := net.SplitHostPort(*secure)
	check(err)
	r.SecureServing.BindAddress = net.ParseIP(host)
	r.SecureServing.Listener, err = net.Listen("tcp", net.JoinHostPort(host, port))
	check(err)
	r.SecureServing.BindPort = r.SecureServing.Listener.Addr().(*net.TCPAddr).Port
	r.SecureServing.ServerCert.CertDirectory = "" // keep the certificate in memory
	check(o.Complete())
	check(r.SecureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}))

	g := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	check(o.ServerRunOptions.ApplyTo(&g.Config))
	check(r.Etcd.ApplyTo(&g.Config))
	check(r.SecureServing.ApplyTo(&g.SecureServing, &g.LoopbackClientConfig))
	check(o.APIEnablement.ApplyTo(&g.Config, apiserver.DefaultAPIResourceConfigSource(), apiserver.Scheme))
	g.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer() // apply asks it whether creating is allowed
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions)
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme, scheme.Scheme)
	g.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	g.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)

	config := &apiserver.Config{
		GenericConfig: g,
		ExtraConfig: apiserver.ExtraConfig{
			CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(*r.Etcd, g.ResourceTransformers, g.StorageObjectCountTracker),
			MasterCount:          1,
		},
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	check(err)
	serveGroupList(server.GenericAPIServer)
	return server.GenericAPIServer
}

// serveGroupList answers /apis, which in a kube-apiserver the aggregation layer does: the aggregated
// document as the library makes it, and the classic group list derived from that document.
func serveGroupList(s *genericapiserver.GenericAPIServer) {
	classic := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := httptest.NewRequest(http.MethodGet, "/apis", nil)
		ask.Header.Set("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		answer := httptest.NewRecorder()
		s.AggregatedDiscoveryGroupManager.ServeHTTP(answer, ask)
		var found apidiscovery.APIGroupDiscoveryList
		if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, item := range found.Items {
			group := metav1.APIGroup{Name: item.Name}
			for _, v := range item.Versions {
				group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: item.Name + "/" + v.Version, Version: v.Version})
			}
			group.PreferredVersion = group.Versions[0]
			list.Groups = append(list.Groups, group)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
	})
	both := aggregated.WrapAggregatedDiscoveryToHandler(classic, s.AggregatedDiscoveryGroupManager, nil)
	s.Handler.NonGoRestfulMux.Unregister("/apis")
	s.Handler.NonGoRestfulMux.Handle("/apis", both)
}

func startEtcd() string {
	dir, err := os.MkdirTemp("", "real-crd-server")
	check(err)
	client, peer := freeURL(), freeURL()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel, cfg.UnsafeNoFsync = dir, "error", true
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// the watch cache learns of progress from etcd: without this, watch bookmarks lag
	cfg.WatchProgressNotifyInterval = 5 * time.Second
	e, err := embed.StartEtcd(cfg)
	check(err)
	<-e.Server.ReadyNotify()
	return client.String()
}

func freeURL() url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
