// The operator of shelves with controller-runtime: a ledger (a ConfigMap) for each shelf, and in the status how many books
// there are.
//
// With BUG=1 it makes a mistake that every unit test passes: it writes the status first and the ledger after it, and takes
// a status that is up to date as a sign that nothing is left to do. Whoever dies in between never writes the ledger. With
// BUG=loop it notes in the status when it looked, which is a change to look at. With BUG=hold it puts a finalizer on the
// shelf, and forgets it: when a shelf goes, what it owns goes by itself, and nothing seems left to do.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "toys.example.com/ledger"

var shelfKind = schema.GroupVersionKind{Group: "toys.example.com", Version: "v1", Kind: "Shelf"}

func main() {
	ctrl.SetLogger(zap.New())
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "operator of shelves:", err)
		os.Exit(1)
	}
}

func run() error {
	options := manager.Options{Metrics: server.Options{BindAddress: "0"}}
	if namespace := os.Getenv("WATCH_NAMESPACE"); namespace != "" {
		options.Cache = cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return err
	}
	bug := os.Getenv("BUG")
	keeper := &keeper{Client: mgr.GetClient(), isBuggy: bug == "1", isRestless: bug == "loop", isHolding: bug == "hold"}
	shelf := &unstructured.Unstructured{}
	shelf.SetGroupVersionKind(shelfKind)
	if err := ctrl.NewControllerManagedBy(mgr).For(shelf).Owns(&core.ConfigMap{}).Complete(keeper); err != nil {
		return err
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}

type keeper struct {
	client.Client
	isBuggy    bool
	isRestless bool
	isHolding  bool
}

func (k *keeper) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	shelf := &unstructured.Unstructured{}
	shelf.SetGroupVersionKind(shelfKind)
	if err := k.Get(ctx, request.NamespacedName, shelf); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if shelf.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, nil
	}
	if k.isHolding && controllerutil.AddFinalizer(shelf, finalizer) {
		if err := k.Update(ctx, shelf); err != nil {
			return ctrl.Result{}, err
		}
	}
	if !k.isBuggy {
		if err := k.writeLedger(ctx, shelf); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, k.writeStatus(ctx, shelf)
	}
	if isUpToDate(shelf) {
		return ctrl.Result{}, nil
	}
	if err := k.writeStatus(ctx, shelf); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, k.writeLedger(ctx, shelf)
}

func books(shelf *unstructured.Unstructured) int64 {
	books, _, _ := unstructured.NestedInt64(shelf.Object, "spec", "books")
	return books
}

func isUpToDate(shelf *unstructured.Unstructured) bool {
	observed, _, _ := unstructured.NestedInt64(shelf.Object, "status", "observedGeneration")
	return observed == shelf.GetGeneration()
}

func (k *keeper) writeLedger(ctx context.Context, shelf *unstructured.Unstructured) error {
	ledger := &core.ConfigMap{}
	ledger.Name, ledger.Namespace = shelf.GetName()+"-ledger", shelf.GetNamespace()
	_, err := controllerutil.CreateOrUpdate(ctx, k.Client, ledger, func() error {
		ledger.Data = map[string]string{"books": strconv.FormatInt(books(shelf), 10)}
		return controllerutil.SetControllerReference(shelf, ledger, k.Scheme())
	})
	return err
}

func (k *keeper) writeStatus(ctx context.Context, shelf *unstructured.Unstructured) error {
	if isUpToDate(shelf) && !k.isRestless {
		return nil
	}
	status := map[string]any{
		"books":              books(shelf),
		"ledger":             shelf.GetName() + "-ledger",
		"observedGeneration": shelf.GetGeneration(),
	}
	if k.isRestless {
		status["lookedAt"] = time.Now().Format(time.RFC3339Nano)
	}
	shelf.Object["status"] = status
	return k.Status().Update(ctx, shelf)
}
