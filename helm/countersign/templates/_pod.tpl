{{/* The pod of a server, which the Deployment and the StatefulSet share. */}}

{{- define "countersign.pod" -}}
metadata:
  labels:
    # Not the chart's version: another one alone is no reason to restart.
    {{- include "countersign.serverSelector" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    {{- with .Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .Values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/restart: {{ include "countersign.restartChecksum" . | quote }}
    kubectl.kubernetes.io/default-container: countersign
    {{- with .Values.pod.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "countersign.serviceAccount" . }}
  {{- include "countersign.podBasics" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "countersign.gracePeriod" . }}
  {{- with .Values.pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.pod.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "countersign.spread" . | nindent 2 }}
  containers:
    - name: countersign
      image: {{ include "countersign.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/countersign/config/countersign.toml]
      securityContext:
        {{- include "countersign.containerSecurity" . | nindent 8 }}
      ports:
        - name: grpc
          containerPort: 50051
          protocol: TCP
        - name: metrics
          containerPort: 9464
          protocol: TCP
      {{- include "countersign.env" . | nindent 6 }}
      {{- include "countersign.probes" . | nindent 6 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "countersign.mounts" . | nindent 8 }}
  volumes:
    {{- include "countersign.volumes" . | nindent 4 }}
{{- end }}

{{/* None of them asks the database: were it away, a restart would help nobody. So the first is `/livez` as well: a server that
     waits for its database is alive, and not ready. The port of the metrics is plain HTTP, TLS or not. */}}
{{- define "countersign.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{- define "countersign.env" -}}
{{- if or .Values.tracing.endpoint .Values.pod.extraEnv -}}
env:
  {{- with .Values.tracing }}
  {{- if .endpoint }}
  - name: POD_NAME
    valueFrom:
      fieldRef: {fieldPath: metadata.name}
  - name: OTEL_EXPORTER_OTLP_ENDPOINT
    value: {{ .endpoint | quote }}
  - name: OTEL_TRACES_SAMPLER
    value: parentbased_traceidratio
  - name: OTEL_TRACES_SAMPLER_ARG
    value: {{ .ratio | quote }}
  - name: OTEL_RESOURCE_ATTRIBUTES
    value: k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME)
  {{- end }}
  {{- end }}
  {{- with .Values.pod.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end }}

{{- define "countersign.spread" -}}
{{- $rows := list (list "topology.kubernetes.io/zone" .Values.spread.zones) (list "kubernetes.io/hostname" .Values.spread.nodes) -}}
{{- if and (not (include "countersign.sqlite" .)) (or (ne .Values.spread.zones "off") (ne .Values.spread.nodes "off")) -}}
topologySpreadConstraints:
  {{- range $rows }}
  {{- if ne (index . 1) "off" }}
  - topologyKey: {{ index . 0 }}
    maxSkew: 1
    whenUnsatisfiable: {{ index . 1 }}
    labelSelector:
      matchLabels:
        {{- include "countersign.serverSelector" $ | nindent 8 }}
    # Of each version apart, so that a rollout ends spread as well.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* Folders whole and no single files: those would never change in a running pod. */}}
{{- define "countersign.mounts" -}}
- {name: config, mountPath: /etc/countersign/config, readOnly: true}
- {name: peppers, mountPath: /etc/countersign/peppers, readOnly: true}
{{- if .Values.policy.existingConfigMap }}
- {name: policy, mountPath: /etc/countersign/policy, readOnly: true}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/countersign/tls, readOnly: true}
{{- end }}
{{- if .Values.tls.clientCa.existingSecret }}
- {name: client-ca, mountPath: /etc/countersign/client-ca, readOnly: true}
{{- end }}
{{- include "countersign.identityMounts" . }}
{{- if include "countersign.sqlite" . }}
- {name: data, mountPath: /var/lib/countersign}
# Where SQLite sorts what is large: the root is read-only.
- {name: tmp, mountPath: /tmp}
{{- else }}
{{ include "countersign.databaseMounts" . }}
{{- end }}
{{- with .Values.pod.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Readable by the group only, which is `fsGroup`: 288 is 0440. */}}
{{- define "countersign.volumes" -}}
- name: config
  configMap:
    name: {{ include "countersign.fullname" . }}
- name: peppers
  secret:
    secretName: {{ .Values.peppers.existingSecret }}
    defaultMode: 288
    items: [{key: {{ .Values.peppers.key | quote }}, path: peppers}]
{{- with .Values.policy.existingConfigMap }}
- name: policy
  configMap:
    name: {{ . }}
    items: [{key: {{ $.Values.policy.key | quote }}, path: policy.toml}]
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "countersign.tlsSecret" . }}
    defaultMode: 288
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- with .Values.tls.clientCa.existingSecret }}
- name: client-ca
  secret:
    secretName: {{ . }}
    defaultMode: 288
    items: [{key: {{ $.Values.tls.clientCa.key | quote }}, path: ca.crt}]
{{- end }}
{{- include "countersign.identityVolumes" . }}
{{- if include "countersign.sqlite" . }}
- name: tmp
  emptyDir: {}
{{- if .Values.persistence.ephemeral }}
- name: data
  emptyDir: {}
{{- else if .Values.persistence.existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
{{- end }}
{{- else }}
{{ include "countersign.databaseVolumes" . }}
{{- end }}
{{- with .Values.pod.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the address of Postgres needs, for the servers and the migration. */}}
{{- define "countersign.databaseMounts" -}}
- {name: database, mountPath: /etc/countersign/database, readOnly: true}
{{- if .Values.database.caSecret }}
- {name: database-ca, mountPath: /etc/countersign/database-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "countersign.databaseVolumes" -}}
{{- with .Values.database -}}
- name: database
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 288
    items:
      - {key: {{ .urlKey | quote }}, path: url}
      {{- with .directUrlKey }}
      - {key: {{ . | quote }}, path: direct-url}
      {{- end }}
{{- if .caSecret }}
- name: database-ca
  secret:
    secretName: {{ .caSecret }}
    defaultMode: 288
    items: [{key: {{ .caKey | quote }}, path: ca.crt}]
{{- end }}
{{- end -}}
{{- end }}
