{{/* Callers that show tokens: of the cluster's service accounts, and of other issuers. */}}

{{- define "countersign.issuers" -}}
{{- with .Values.identity.kubernetes }}
{{- if .enabled }}

[[issuers]]
issuer = {{ toJson .issuer }}
audience = {{ toJson .audience }}
kubernetes = true
jwks_uri = {{ toJson .jwksUri }}
ca_file = "/etc/countersign/api-server/ca.crt"
bearer_token_file = "/etc/countersign/api-server/token"
{{- end }}
{{- end }}
{{- range $number, $issuer := .Values.identity.issuers }}

[[issuers]]
issuer = {{ toJson .issuer }}
audience = {{ toJson .audience }}
{{- with .jwksUri }}
jwks_uri = {{ toJson . }}
{{- end }}
{{- if .caSecret }}
ca_file = "/etc/countersign/issuer-{{ $number }}/ca.crt"
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.identityMounts" -}}
{{- if .Values.identity.kubernetes.enabled }}
- {name: api-server, mountPath: /etc/countersign/api-server, readOnly: true}
{{- end }}
{{- range $number, $issuer := .Values.identity.issuers }}
{{- if .caSecret }}
- {name: issuer-{{ $number }}, mountPath: /etc/countersign/issuer-{{ $number }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* The token is for the API server, which lets every service account read the keys of the cluster, and nothing else. The pod's
     own, which would be mounted in every container, stays away. */}}
{{- define "countersign.identityVolumes" -}}
{{- if .Values.identity.kubernetes.enabled }}
- name: api-server
  projected:
    defaultMode: 288
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- range $number, $issuer := .Values.identity.issuers }}
{{- if .caSecret }}
- name: issuer-{{ $number }}
  secret:
    secretName: {{ .caSecret }}
    defaultMode: 288
    items: [{key: {{ default "ca.crt" .caKey | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.identityEgress" -}}
{{- with .Values.identity }}
{{- if or .kubernetes.enabled .issuers }}
- ports:
    {{- range .egressPorts }}
    - {port: {{ . | int }}, protocol: TCP}
    {{- end }}
  {{- with .egressTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.faultsOfIdentity" -}}
{{- $v := .Values -}}
{{- $issuers := list }}
{{- if $v.identity.kubernetes.enabled }}
{{- $issuers = append $issuers $v.identity.kubernetes.issuer }}
{{- end }}
{{- range $v.identity.issuers }}
{{- if has .issuer $issuers }}
- `identity` has the issuer `{{ .issuer }}` twice: leave one of them out.
{{- end }}
{{- $issuers = append $issuers .issuer }}
{{- if and (not (hasPrefix "https://" .issuer)) (not .jwksUri) }}
- `identity.issuers` has `{{ .issuer }}`, which is no `https` address that could be asked for its keys: give its `jwksUri`.
{{- end }}
{{- end }}
{{- $ids := list }}
{{- $subjects := list }}
{{- range $caller := $v.callers }}
{{- if not (or .keyDigests .spiffeIds .serviceAccounts .subjects) }}
- `callers` has `{{ .name }}`, which shows nothing: give it `keyDigests`, `spiffeIds`, `serviceAccounts` or `subjects`.
{{- end }}
{{- if and .spiffeIds (not $v.tls.clientCa.existingSecret) }}
- `callers` has `spiffeIds` under `{{ .name }}`, but no certificate is asked of callers: name `tls.clientCa.existingSecret`.
{{- end }}
{{- if and .serviceAccounts (not $v.identity.kubernetes.enabled) }}
- `callers` has `serviceAccounts` under `{{ .name }}`, whose tokens nobody could verify: set `identity.kubernetes.enabled`.
{{- end }}
{{- range .spiffeIds }}
{{- if has . $ids }}
- `callers` has the SPIFFE ID `{{ . }}` twice, the second time under `{{ $caller.name }}`: leave one of them out.
{{- end }}
{{- $ids = append $ids . }}
{{- end }}
{{- $named := list }}
{{- range .serviceAccounts }}
{{- $named = append $named (list $v.identity.kubernetes.issuer (printf "system:serviceaccount:%s" (replace "/" ":" .))) }}
{{- end }}
{{- range .subjects }}
{{- if not (has .issuer $issuers) }}
- `callers` has a subject of `{{ .issuer }}` under `{{ $caller.name }}`, which is no issuer: add it to `identity.issuers`.
{{- end }}
{{- $named = append $named (list .issuer .subject) }}
{{- end }}
{{- range $named }}
{{- if has . $subjects }}
- `callers` has `{{ index . 1 }}` of `{{ index . 0 }}` twice, the second time under `{{ $caller.name }}`: leave one of them out.
{{- end }}
{{- $subjects = append $subjects . }}
{{- end }}
{{- end }}
{{- end }}
