{{/* Names, labels and the small things that several objects share. */}}

{{- define "countersign.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Short enough for `-migrate` and the like to follow within 63 characters. */}}
{{- define "countersign.fullname" -}}
{{- $name := include "countersign.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* What never changes of an object, so that selectors may name it. */}}
{{- define "countersign.selector" -}}
app.kubernetes.io/name: {{ include "countersign.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "countersign.serverSelector" -}}
{{ include "countersign.selector" . }}
app.kubernetes.io/component: server
{{- end }}

{{/* Takes a list: the root and the component. */}}
{{- define "countersign.labels" -}}
{{- $root := index . 0 -}}
{{ include "countersign.selector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: countersign
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object. Takes a list: the root, the component, and what the name ends with. */}}
{{- define "countersign.metadata" -}}
name: {{ include "countersign.fullname" (index . 0) }}{{ index . 2 }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "countersign.labels" (list (index . 0) (index . 1)) | nindent 2 }}
{{- end }}

{{/* `true` or nothing. */}}
{{- define "countersign.sqlite" -}}
{{- if eq .Values.database.type "sqlite" -}}true{{- end -}}
{{- end }}

{{- define "countersign.replicas" -}}
{{- $unset := ternary 1 3 (eq .Values.database.type "sqlite") -}}
{{- ternary $unset .Values.replicas (kindIs "invalid" .Values.replicas) | int -}}
{{- end }}

{{/* At least so many servers, whoever decides how many. */}}
{{- define "countersign.leastReplicas" -}}
{{- if .Values.autoscaling.enabled -}}
{{- .Values.autoscaling.minReplicas | int -}}
{{- else -}}
{{- include "countersign.replicas" . -}}
{{- end -}}
{{- end }}

{{- define "countersign.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "countersign.fullname" .) -}}
{{- end }}

{{- define "countersign.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "countersign.tlsSecret" -}}
{{- .Values.tls.certManager.enabled | ternary (printf "%s-tls" (include "countersign.fullname" .)) .Values.tls.existingSecret -}}
{{- end }}

{{/* How clients in the cluster name the service, by which its certificate must call it. */}}
{{- define "countersign.host" -}}
{{ include "countersign.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* A duration such as `250ms` in milliseconds. */}}
{{- define "countersign.millis" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mul (trimSuffix $unit . | int64) (get $units $unit) -}}
{{- end }}

{{/* The longest that a stop takes: the drain, then 10 s for calls in flight, 1 s for the log of decisions, 5 s for traces,
     and as much again as writing the last uses and closing the database may take. */}}
{{- define "countersign.gracePeriod" -}}
{{- $drain := include "countersign.millis" .Values.config.drainDelay | int64 -}}
{{- add (div (add $drain 999) 1000) 26 -}}
{{- end }}

{{/* The restricted standard of pod security. */}}
{{- define "countersign.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.pod.user | int64 }}
runAsGroup: {{ .Values.pod.user | int64 }}
fsGroup: {{ .Values.pod.user | int64 }}
# Volumes with many files need not be gone through at each start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "countersign.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ .Values.pod.user | int64 }}
capabilities:
  drop: [ALL]
{{- end }}

{{/* What every pod of ours has, whatever it does. */}}
{{- define "countersign.podBasics" -}}
automountServiceAccountToken: false
# Kubernetes' variables for each service would begin with COUNTERSIGN_, as ours do.
enableServiceLinks: false
securityContext:
  {{- include "countersign.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Out to names and to the database. */}}
{{- define "countersign.egress" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- if not (include "countersign.sqlite" .) }}
- ports: [{port: {{ .Values.networkPolicy.databasePort | int }}, protocol: TCP}]
  {{- with .Values.networkPolicy.database }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
