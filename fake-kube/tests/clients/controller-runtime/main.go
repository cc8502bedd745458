// A small operator as people write them with controller-runtime, to be run against fake-kube: a custom resource with a
// finalizer and a status, owned objects, events in both APIs, watches of whole objects and of metadata, an election among
// its replicas. It says `leading` on stdout once it is elected.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctrl.SetLogger(zap.New(zap.UseDevMode(true)))
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, schemeBuilder.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	// Short, so that the death of a leader is noticed soon.
	lease, renew, retry := 3*time.Second, 2*time.Second, 300*time.Millisecond
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Metrics:                 server.Options{BindAddress: "0"},
		LeaderElection:          true,
		LeaderElectionID:        manager,
		LeaderElectionNamespace: directory,
		LeaseDuration:           &lease,
		RenewDeadline:           &renew,
		RetryPeriod:             &retry,
	})
	if err != nil {
		return err
	}
	if err := watchSites(mgr); err != nil {
		return err
	}
	go func() {
		<-mgr.Elected()
		fmt.Println("leading")
	}()
	return mgr.Start(ctrl.SetupSignalHandler())
}

func watchSites(mgr ctrl.Manager) error {
	r := &reconciler{
		Client: mgr.GetClient(),
		events: mgr.GetEventRecorder(manager),
		record: mgr.GetEventRecorderFor(manager), //nolint:staticcheck // the older API is what is wanted here
	}
	ofSecret := func(_ context.Context, secret client.Object) []reconcile.Request {
		name := secret.GetAnnotations()[watchedBy]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: secret.GetNamespace(), Name: name}}}
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&Site{}).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.ConfigMap{}).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(ofSecret), builder.OnlyMetadata).
		Complete(r)
}
