package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// Objects in which every special type of the wire format occurs.
var objects = []string{
	`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"n","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"b":"2","a":"1"},"generation":3,
	 "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"u","controller":true}],
	 "managedFields":[{"manager":"m","operation":"Apply","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{}}}}]},
	 "spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}],"env":[{"name":"E","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}},{"name":"F","valueFrom":{"configMapKeyRef":{"name":"cm","key":"k","optional":true}}}],
	 "resources":{"limits":{"cpu":"100m","memory":"1Gi"}},"livenessProbe":{"httpGet":{"path":"/x","port":"web"},"periodSeconds":7},"readinessProbe":{"tcpSocket":{"port":8080}},
	 "securityContext":{"runAsUser":0,"capabilities":{"add":["NET_ADMIN"]}}}],
	 "volumes":[{"name":"v","configMap":{"name":"cm","items":[{"key":"k","path":"p"}]}},{"name":"e","emptyDir":{"sizeLimit":"1Gi"}}],
	 "tolerations":[{"operator":"Exists","tolerationSeconds":300}],"terminationGracePeriodSeconds":0,"hostNetwork":true,"nodeSelector":{"x":"y"}},
	 "status":{"phase":"Running","containerStatuses":[{"name":"c","ready":true,"restartCount":2,"image":"i","imageID":"","state":{"running":{"startedAt":"2026-01-02T03:04:06Z"}}}]}}`,
	`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":1}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
	`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"port":80,"targetPort":"http"},{"name":"b","port":81,"targetPort":8081}],"selector":{"a":"b"},"internalTrafficPolicy":"Cluster"}}`,
	`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"b":"AAEC","a":""},"type":"Opaque","immutable":false}`,
	`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"me","leaseDurationSeconds":15,"renewTime":"2023-11-14T22:13:20.123456Z","leaseTransitions":0}}`,
	`{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e"},"eventTime":"2023-11-14T22:13:20.000001Z","reason":"R","note":"n","type":"Normal","regarding":{"kind":"Pod","name":"p"},"series":{"count":2,"lastObservedTime":"2023-11-14T22:13:20.000001Z"}}`,
	`{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"7","continue":"abc","remainingItemCount":3},"items":[{"metadata":{"name":"a"},"data":{"k":"v"}},{"metadata":{"name":"b"},"binaryData":{"x":"/w=="}}]}`,
	`{"apiVersion":"v1","kind":"Status","status":"Failure","message":"m","reason":"NotFound","details":{"name":"a","kind":"pods","causes":[{"reason":"R","message":"m","field":"f"}],"retryAfterSeconds":1},"code":404}`,
	`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"r"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"u"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"}}`,
	`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","resource":"pods"},"user":"u","extra":{"k":["a","b"]}},"status":{"allowed":false}}`,
	`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":["a"],"expirationSeconds":600,"boundObjectRef":null},"status":{"token":"","expirationTimestamp":null}}`,
	`{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"preconditions":{"uid":"u"},"propagationPolicy":"Background","dryRun":["All"]}`,
	`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"c"},"spec":{"schedule":"* * * * *","suspend":false,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}},"status":{"lastScheduleTime":"2026-01-02T03:04:05Z"}}`,
	`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"n"},"spec":{"podSelector":{},"ingress":[{"ports":[{"port":80,"endPort":90}],"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}]}],"policyTypes":["Ingress"]}}`,
	`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d","apiVersion":"apps/v1"},"maxReplicas":3,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]}}`,
	`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v"},"spec":{"capacity":{"storage":"10Gi"},"hostPath":{"path":"/x"},"accessModes":["ReadWriteOnce"]}}`,
	`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"status":{"capacity":{"cpu":"2"},"daemonEndpoints":{"kubeletEndpoint":{"Port":10250}},"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}`,
	`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"w"},"webhooks":[{"name":"a.b.c","clientConfig":{"url":"https://x","caBundle":"AAEC"},"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"],"scope":"*"}],"sideEffects":"None","admissionReviewVersions":["v1"],"timeoutSeconds":5}]}`,
	`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"ws.e.com"},"spec":{"group":"e.com","names":{"plural":"ws","kind":"W"},"scope":"Namespaced","versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-validations":[{"rule":"true"}],"properties":{"a":{"type":"integer","default":1,"maximum":1.5,"enum":[1,"x"]},"b":{"type":"object","additionalProperties":{"type":"string"}},"c":{"type":"object","additionalProperties":true,"x-kubernetes-preserve-unknown-fields":true},"l":{"type":"array","items":{"type":"string"}}}}}}]},"status":{"storedVersions":["v1"],"acceptedNames":{"plural":"ws","kind":"W"}}}`,
}

func samples() {
	if err := apiextensions.AddToScheme(scheme.Scheme); err != nil {
		panic(err)
	}
	codec := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	for _, text := range objects {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(text), nil, nil)
		if err != nil {
			panic(text + err.Error())
		}
		var wire bytes.Buffer
		if err := codec.Encode(object, &wire); err != nil {
			panic(err)
		}
		out, err := json.Marshal(object)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(os.Stdout, "%s\t%s\n", out, base64.StdEncoding.EncodeToString(wire.Bytes()))
	}
}
