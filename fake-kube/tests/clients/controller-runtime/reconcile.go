// What the operator does for a Site: a page in a ConfigMap (server-side apply), a Deployment that serves it (read, change,
// update), an entry in the directory that no owner reference reaches (hence the finalizer), and a status.

package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	finalizer = "toys.example.com/directory"
	directory = "directory"
	// On a Secret: the name of a Site of its namespace that is to be told of it.
	watchedBy = "toys.example.com/watched-by"
	manager   = "site-operator"
)

type reconciler struct {
	client.Client
	// Events through events.k8s.io, and through the older API.
	events events.EventRecorder
	record record.EventRecorder
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	site := &Site{}
	if err := r.Get(ctx, request.NamespacedName, site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.clear(ctx, site)
	}
	if controllerutil.AddFinalizer(site, finalizer) {
		if err := r.Update(ctx, site); err != nil {
			return ctrl.Result{}, err
		}
		r.events.Eventf(site, nil, corev1.EventTypeNormal, "Taken", "Reconcile", "site %s is taken care of", site.Name)
	}
	if err := r.enter(ctx, site); err != nil {
		return ctrl.Result{}, fmt.Errorf("enter in the directory: %w", err)
	}
	if err := r.applyPage(ctx, site); err != nil {
		return ctrl.Result{}, fmt.Errorf("apply the page: %w", err)
	}
	deployment, err := r.serve(ctx, site)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("write the deployment: %w", err)
	}
	return ctrl.Result{}, r.report(ctx, site, deployment)
}

func entryOf(site *Site) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: directory, Name: site.Namespace + "-" + site.Name}}
}

func (r *reconciler) enter(ctx context.Context, site *Site) error {
	err := r.Create(ctx, entryOf(site))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (r *reconciler) clear(ctx context.Context, site *Site) error {
	if !controllerutil.ContainsFinalizer(site, finalizer) {
		return nil
	}
	if err := r.Delete(ctx, entryOf(site)); client.IgnoreNotFound(err) != nil {
		return err
	}
	before := site.DeepCopyObject().(*Site)
	controllerutil.RemoveFinalizer(site, finalizer)
	if err := r.Patch(ctx, site, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.record.Eventf(site, corev1.EventTypeNormal, "Cleared", "site %s left the directory", site.Name)
	return nil
}

func (r *reconciler) applyPage(ctx context.Context, site *Site) error {
	owner := applymetav1.OwnerReference().
		WithAPIVersion(groupVersion.String()).WithKind("Site").WithName(site.Name).WithUID(site.UID).
		WithController(true).WithBlockOwnerDeletion(true)
	page := applycorev1.ConfigMap(site.Name, site.Namespace).
		WithOwnerReferences(owner).
		WithData(map[string]string{"index.html": site.Spec.Text})
	return r.Apply(ctx, page, client.FieldOwner(manager), client.ForceOwnership)
}

func (r *reconciler) serve(ctx context.Context, site *Site) (*appsv1.Deployment, error) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.Client, deployment, func() error {
		labels := map[string]string{"toys.example.com/site": site.Name}
		deployment.Spec.Replicas = &site.Spec.Replicas
		deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		template := &deployment.Spec.Template
		template.Labels = labels
		template.Annotations = map[string]string{"toys.example.com/text": site.Spec.Text}
		if len(template.Spec.Containers) == 0 {
			template.Spec.Containers = []corev1.Container{{Name: "server"}}
		}
		template.Spec.Containers[0].Image = "busybox:1"
		template.Spec.Containers[0].Command = []string{"sh", "-c", "echo serving; sleep 3600"}
		return controllerutil.SetControllerReference(site, deployment, r.Scheme())
	})
	return deployment, err
}

func (r *reconciler) report(ctx context.Context, site *Site, deployment *appsv1.Deployment) error {
	before := site.DeepCopyObject().(*Site)
	site.Status.ObservedGeneration = site.Generation
	site.Status.ReadyReplicas = deployment.Status.ReadyReplicas
	ready := metav1.Condition{
		Type: "Ready", Status: metav1.ConditionFalse, Reason: "Starting", ObservedGeneration: site.Generation,
		Message: fmt.Sprintf("%d of %d replicas are ready", deployment.Status.ReadyReplicas, site.Spec.Replicas),
	}
	settled := deployment.Status.ObservedGeneration == deployment.Generation &&
		deployment.Status.UpdatedReplicas == site.Spec.Replicas && deployment.Status.Replicas == site.Spec.Replicas
	if settled && deployment.Status.ReadyReplicas == site.Spec.Replicas {
		ready.Status, ready.Reason = metav1.ConditionTrue, "Serving"
	}
	if meta.SetStatusCondition(&site.Status.Conditions, ready) && ready.Status == metav1.ConditionTrue {
		r.events.Eventf(site, deployment, corev1.EventTypeNormal, "Serving", "Reconcile", ready.Message)
	}
	err := r.Status().Patch(ctx, site, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}
