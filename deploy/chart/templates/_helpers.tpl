{{- define "drey.name" -}}
{{- default "drey-operator" (default .Values.nameOverride .Values.fullnameOverride) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "drey.labels" -}}
{{ include "drey.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "drey.selector" -}}
app.kubernetes.io/name: {{ include "drey.name" . }}
{{- end -}}

{{- define "drey.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* Namespaces that jobs run in, of which the chart knows. */}}
{{- define "drey.jobNamespaces" -}}
{{- join "," (.Values.watchNamespaces | default (list .Release.Namespace)) -}}
{{- end -}}

{{/* Several pods need a leader; a single one has one if its configuration says so. */}}
{{- define "drey.elects" -}}
{{- if or (gt (int .Values.replicas) 1) (contains "leader-election" (index .Values.defaultConfiguration "config.yaml")) -}}
true
{{- end -}}
{{- end -}}

{{/*
What the operator asks of the API in the namespaces it looks after; a test holds this against what the scenario library
made it ask for. Nothing here is for convenience.
*/}}
{{- define "drey.operatorRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [get, list, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, delete]
- apiGroups: [flink.apache.org]
  resources: [flinkdeployments]
  verbs: [get, list, watch, patch]
- apiGroups: [flink.apache.org]
  resources: [flinkdeployments/status]
  verbs: [update]
# For owner references with blockOwnerDeletion, where the server enforces who may set them (OpenShift does).
- apiGroups: [flink.apache.org]
  resources: [flinkdeployments/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments/finalizers]
  verbs: [update]
{{- end -}}

{{/* Leases are kept in the release's namespace alone. */}}
{{- define "drey.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end -}}
