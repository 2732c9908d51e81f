{{/* The rules of the file, of this release only, and without those that are left out. */}}
{{- define "countersign.ruleGroups" -}}
{{- $values := .Values.monitoring.prometheusRule -}}
{{- $of := printf `namespace="%s",service="%s-metrics"` .Release.Namespace (include "countersign.fullname" .) -}}
{{- $bound := divf (include "countersign.millis" .Values.config.stalenessBound | float64) 1000 | toString -}}
{{- $left := include "countersign.certificateLeft" . -}}
{{- $text := .Files.Get "files/alerts.yaml" | replace "$SELECTOR" $of | replace "$STALENESS_BOUND" $bound -}}
{{- $file := $text | replace "$CERTIFICATE_LEFT" $left | fromYaml -}}
{{- range $group := $file.groups }}
- name: {{ $group.name }}
  rules:
    {{- range $rule := $group.rules }}
    {{- if not (has $rule.alert $values.disabled) }}
    {{- if $values.runbookUrl }}
    {{- $_ := set $rule.annotations "runbook_url" (printf "%s#%s" $values.runbookUrl (lower $rule.alert)) }}
    {{- end }}
    {{- $_ := set $rule "labels" (merge (dict) $rule.labels $values.alertLabels) }}
    - {{ toYaml $rule | nindent 6 | trim }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{/* What a certificate must have left, in seconds: half of what cert-manager leaves it, a week at most. */}}
{{- define "countersign.certificateLeft" -}}
{{- $certManager := .Values.tls.certManager -}}
{{- $week := 604800 -}}
{{- if $certManager.enabled -}}
{{- min $week (mul (trimSuffix "h" $certManager.renewBefore | int64) 1800) -}}
{{- else -}}
{{- $week -}}
{{- end -}}
{{- end }}
