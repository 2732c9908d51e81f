{{/* What contradicts itself or would not work, a sentence each, all at once. What a value may be at all is in the schema. */}}

{{- define "countersign.faults" -}}
{{ include "countersign.faultsOfDatabase" . }}
{{ include "countersign.faultsOfConfig" . }}
{{ include "countersign.faultsOfTls" . }}
{{ include "countersign.faultsOfIdentity" . }}
{{ include "countersign.faultsOfScale" . }}
{{ include "countersign.faultsOfNetwork" . }}
{{- end }}

{{- define "countersign.faultsOfDatabase" -}}
{{- $v := .Values -}}
{{- if not $v.image.repository }}
- `image.repository` is empty: build the image from the Dockerfile, push it, and say where it is.
{{- end }}
{{- if not $v.peppers.existingSecret }}
- `peppers.existingSecret` is empty: make one with `countersign pepper new > peppers && kubectl create secret generic countersign-peppers --from-file=peppers`, and name it.
{{- end }}
{{- if include "countersign.sqlite" . }}
{{- if $v.database.existingSecret }}
- `database.existingSecret` holds the address of a Postgres, but `database.type` is `sqlite`: leave one of them out.
{{- end }}
{{- if gt (include "countersign.replicas" . | int) 1 }}
- `replicas` is {{ $v.replicas }}, but SQLite serves one process: set `replicas: 1`, or `database.type: postgres`.
{{- end }}
{{- if $v.autoscaling.enabled }}
- `autoscaling.enabled` is set, but SQLite serves one process: leave it out, or set `database.type: postgres`.
{{- end }}
{{- if and $v.persistence.ephemeral $v.persistence.existingClaim }}
- `persistence.ephemeral` keeps nothing, but `persistence.existingClaim` names a volume: leave one of them out.
{{- end }}
{{- if and $v.persistence.existingClaim $v.persistence.storageClass }}
- `persistence.storageClass` is for a claim that is made, but `persistence.existingClaim` names one: leave one of them out.
{{- end }}
{{- if or $v.database.directUrlKey $v.database.caSecret }}
- `database.directUrlKey` and `database.caSecret` are for Postgres, but `database.type` is `sqlite`: leave them out.
{{- end }}
{{- else }}
{{- if not $v.database.existingSecret }}
- `database.existingSecret` is empty: name the secret that holds the address `postgres://…` under `{{ $v.database.urlKey }}`, or set `database.type: sqlite`.
{{- end }}
{{- if eq $v.database.urlKey $v.database.directUrlKey }}
- `database.directUrlKey` is `database.urlKey`: it is for an address without the pooler; without a pooler leave it out.
{{- end }}
{{- if or $v.persistence.existingClaim $v.persistence.ephemeral }}
- `persistence` is for SQLite, but `database.type` is `postgres`, which keeps everything: leave `existingClaim` and `ephemeral` out.
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.faultsOfConfig" -}}
{{- $v := .Values -}}
{{- if not $v.callers }}
- `callers` is empty, so nobody could call: give one at least, with `name`, `keyDigests` (as `countersign key new` prints them) and `grants`.
{{- end }}
{{- $names := list }}
{{- $digests := list }}
{{- range $caller := $v.callers }}
{{- if has $caller.name $names }}
- `callers` has two named `{{ $caller.name }}`: give both keys to one of them, or another name to the other.
{{- end }}
{{- $names = append $names $caller.name }}
{{- range $digest := $caller.keyDigests }}
{{- if has $digest $digests }}
- `callers` has the same digest twice, the second time under `{{ $caller.name }}`: make a key for each with `countersign key new`.
{{- end }}
{{- $digests = append $digests $digest }}
{{- end }}
{{- end }}
{{- if and $v.policy.toml $v.policy.existingConfigMap }}
- `policy.toml` and `policy.existingConfigMap` are both given: leave one of them out.
{{- end }}
{{- $bound := include "countersign.millis" $v.config.stalenessBound | int64 }}
{{- if or (lt $bound 250) (gt $bound 30000) }}
- `config.stalenessBound` is {{ $v.config.stalenessBound }}: it must be from 250ms to 30s.
{{- end }}
{{- if gt (include "countersign.millis" $v.config.drainDelay | int64) 300000 }}
- `config.drainDelay` is {{ $v.config.drainDelay }}: it must be 5m at most.
{{- end }}
{{- if ne $v.config.eventRetention "forever" }}
{{- $retention := include "countersign.millis" $v.config.eventRetention | int64 }}
{{- if or (lt $retention 604800000) (gt $retention 3153600000000) }}
- `config.eventRetention` is {{ $v.config.eventRetention }}: it must be `forever`, or from 7d to 36500d.
{{- end }}
{{- end }}
{{- if has $v.config.tokenPrefix $v.config.retiredTokenPrefixes }}
- `config.retiredTokenPrefixes` has `{{ $v.config.tokenPrefix }}`, which is the one in use: take it out.
{{- end }}
{{- $room := add 104857600 (mul 512 ($v.config.viewCapacity | int64)) }}
{{- $memory := include "countersign.bytes" (dig "limits" "memory" "" $v.resources) | int64 }}
{{- if and $memory (lt $memory $room) }}
- `resources.limits.memory` is {{ $v.resources.limits.memory }}, but {{ $v.config.viewCapacity | int64 }} tokens in memory take {{ div $room 1048576 }}Mi: raise it, or lower `config.viewCapacity`.
{{- end }}
{{- range $v.pod.extraEnv }}
{{- if hasPrefix "COUNTERSIGN_" .name }}
- `pod.extraEnv` has `{{ .name }}`, which would override the configuration unseen: set it under `config`.
{{- end }}
{{- if and $v.tracing.endpoint (has .name (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_TRACES_SAMPLER" "OTEL_TRACES_SAMPLER_ARG" "OTEL_RESOURCE_ATTRIBUTES" "POD_NAME")) }}
- `pod.extraEnv` has `{{ .name }}`, which `tracing.endpoint` sets too: leave one of them out.
{{- end }}
{{- end }}
{{- range $label, $_ := merge (dict) $v.commonLabels $v.pod.labels }}
{{- if or (hasPrefix "app.kubernetes.io/" $label) (eq $label "helm.sh/chart") }}
- `commonLabels` or `pod.labels` has `{{ $label }}`, which the chart gives itself: take it out; names are `nameOverride` and `fullnameOverride`.
{{- end }}
{{- end }}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}
- `serviceAccount.create` is off and `serviceAccount.name` is empty: name yours, which may be `default`.
{{- end }}
{{- end }}

{{- define "countersign.faultsOfTls" -}}
{{- $v := .Values -}}
{{- $tls := $v.tls -}}
{{- if $tls.enabled }}
{{- if and $tls.existingSecret $tls.certManager.enabled }}
- `tls.existingSecret` and `tls.certManager.enabled` are both given: leave one of them out.
{{- end }}
{{- if not (or $tls.existingSecret $tls.certManager.enabled) }}
- `tls.enabled` is set without a certificate: name `tls.existingSecret`, set `tls.certManager.enabled`, or say by `tls.enabled: false` that the network is trusted.
{{- end }}
{{- if and $tls.clientCa.existingSecret $v.tests.enabled (not $v.tests.clientSecret) }}
- `tls.clientCa` wants a certificate of every caller, so `helm test` needs one too: name `tests.clientSecret`, or set `tests.enabled: false`.
{{- end }}
{{- else }}
{{- if or $tls.existingSecret $tls.certManager.enabled $tls.clientCa.existingSecret }}
- `tls.enabled` is off, but `tls.existingSecret`, `tls.clientCa` or `tls.certManager` is given: turn it on, or leave them out.
{{- end }}
{{- if ne $v.service.type "ClusterIP" }}
- `service.type` is {{ $v.service.type }}, which leads out of the cluster, but `tls.enabled` is off: turn it on, or set `service.type: ClusterIP`.
{{- end }}
{{- end }}
{{- if and $v.tests.clientSecret (not $tls.clientCa.existingSecret) }}
- `tests.clientSecret` is given, but no certificate is asked of callers: name `tls.clientCa.existingSecret`, or leave it out.
{{- end }}
{{- with $tls.certManager }}
{{- if and .enabled (not .issuerRef.name) }}
- `tls.certManager.issuerRef.name` is empty: name the issuer.
{{- end }}
{{- if ge (trimSuffix "h" .renewBefore | int) (trimSuffix "h" .duration | int) }}
- `tls.certManager.renewBefore` is {{ .renewBefore }}, but a certificate is valid for {{ .duration }} only: make it shorter.
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.faultsOfScale" -}}
{{- $v := .Values -}}
{{- with $v.autoscaling }}
{{- if .enabled }}
{{- if gt (.minReplicas | int) (.maxReplicas | int) }}
- `autoscaling.minReplicas` is {{ .minReplicas }}, above `autoscaling.maxReplicas`, which is {{ .maxReplicas }}: swap them.
{{- end }}
{{- if not (or .targetCPU .metrics) }}
- `autoscaling.enabled` is set with nothing to go by: give `autoscaling.targetCPU` or `autoscaling.metrics`.
{{- end }}
{{- if and .targetCPU (not (dig "requests" "cpu" "" $v.resources)) }}
- `autoscaling.targetCPU` is a share of `resources.requests.cpu`, which is not given: give it.
{{- end }}
{{- if not (kindIs "invalid" $v.replicas) }}
- `replicas` is given, but `autoscaling.enabled` decides how many there are: leave one of them out.
{{- end }}
{{- end }}
{{- end }}
{{- with $v.podDisruptionBudget }}
{{- if not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) }}
- `podDisruptionBudget.minAvailable` and `podDisruptionBudget.maxUnavailable` are both given: leave one of them out.
{{- end }}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) }}
{{- $least := include "countersign.leastReplicas" $ | int }}
{{- if or (eq (toString .minAvailable) "100%") (and (not (hasSuffix "%" (toString .minAvailable))) (ge (.minAvailable | int) $least)) }}
- `podDisruptionBudget.minAvailable` is {{ .minAvailable }} of {{ $least }}, so no node could be drained: make it smaller.
{{- end }}
{{- end }}
{{- if and .enabled (has (toString .maxUnavailable) (list "0" "0%")) }}
- `podDisruptionBudget.maxUnavailable` is {{ .maxUnavailable }}, so no node could be drained: make it 1 or more.
{{- end }}
{{- end }}
{{- if and (has (toString $v.rollout.maxSurge) (list "0" "0%")) (has (toString $v.rollout.maxUnavailable) (list "0" "0%")) }}
- `rollout.maxSurge` and `rollout.maxUnavailable` are both 0, so no rollout could begin: make one of them 1 or more.
{{- end }}
{{- end }}

{{- define "countersign.faultsOfNetwork" -}}
{{- $v := .Values -}}
{{- with $v.networkPolicy }}
{{- if .enabled }}
{{- if and $v.monitoring.serviceMonitor.enabled (not .scrapers) }}
- `monitoring.serviceMonitor.enabled` is set, but `networkPolicy.scrapers` lets nobody scrape: name Prometheus's pods there.
{{- end }}
{{- if and $v.tracing.endpoint (not .extraEgress) }}
- `tracing.endpoint` is given, but `networkPolicy` lets nothing out to it: add a rule to `networkPolicy.extraEgress`.
{{- end }}
{{- else if or .callers .scrapers .database .extraEgress }}
- `networkPolicy.enabled` is off, but there are rules under it: turn it on, or leave them out.
{{- end }}
{{- end }}
{{- with $v.monitoring.prometheusRule }}
{{- range .disabled }}
{{- if not (contains (printf "alert: %s\n" .) ($.Files.Get "files/alerts.yaml")) }}
- `monitoring.prometheusRule.disabled` has `{{ . }}`, and there is no such alert: RUNBOOK.md has their names.
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A quantity of memory in bytes; 0: none that is known. */}}
{{- define "countersign.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if and (regexMatch "^[0-9]+[A-Za-z]*$" $text) (hasKey $units $unit) -}}
{{- mul (trimSuffix $unit $text | int64) (get $units $unit) -}}
{{- else -}}0{{- end -}}
{{- end }}
