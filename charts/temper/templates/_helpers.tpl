{{- define "temper.name" -}}
{{- if contains "temper" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-temper" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "temper.selector" -}}
app.kubernetes.io/name: temper
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "temper.labels" -}}
{{ include "temper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "temper.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "temper.temporalAddress" -}}
{{- if .Values.temporal.address }}{{ .Values.temporal.address }}
{{- else if .Values.quickstart.enabled }}{{ include "temper.name" . }}-temporal:7233
{{- else }}{{ fail "temporal.address is missing: give host:port of your Temporal server, or set quickstart.enabled=true for a first try" }}{{ end }}
{{- end }}

{{- define "temper.storeUri" -}}
{{- if .Values.store.uri }}{{ .Values.store.uri }}
{{- else if .Values.quickstart.enabled }}file:///store
{{- else }}{{ fail "store.uri is missing: give s3://bucket/prefix, or set quickstart.enabled=true for a first try" }}{{ end }}
{{- end }}

{{- define "temper.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "temper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* A node that is not heard of has lost its pods after these seconds (Kubernetes' own default is 300). */}}
{{- define "temper.tolerations" -}}
{{- range list "unreachable" "not-ready" }}
- { key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ $.Values.nodeLossSeconds }} }
{{- end }}
{{- end }}

{{- define "temper.temporalPort" -}}
{{ last (splitList ":" (include "temper.temporalAddress" .)) }}
{{- end }}

{{/* 443 where the store has no endpoint of its own; nothing for a folder. */}}
{{- define "temper.storePort" -}}
{{- if hasPrefix "s3://" (include "temper.storeUri" .) }}
{{- $host := (urlParse (.Values.store.endpoint | default "https://s3")).host }}
{{- if contains ":" $host }}{{ last (splitList ":" $host) }}
{{- else if hasPrefix "http://" .Values.store.endpoint }}80
{{- else }}443{{ end }}
{{- end }}
{{- end }}

{{- define "temper.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: health }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{/* What every process needs to find Temporal. */}}
{{- define "temper.temporalEnv" -}}
- { name: TEMPORAL_ADDRESS, value: {{ include "temper.temporalAddress" . | quote }} }
- { name: TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }} }
{{- if .Values.temporal.tls }}
- { name: TEMPORAL_TLS, value: 'true' }
{{- end }}
{{- if has "apiKey" .Values.temporal.secretHas }}
- name: TEMPORAL_API_KEY
  valueFrom: { secretKeyRef: { name: {{ .Values.temporal.existingSecret }}, key: api-key } }
{{- end }}
{{- if has "ca" .Values.temporal.secretHas }}
- { name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/temporal/ca.crt }
{{- end }}
{{- if has "clientCertificate" .Values.temporal.secretHas }}
- { name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/temporal/tls.crt }
- { name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/temporal/tls.key }
{{- end }}
{{- end }}

{{- define "temper.temporalVolume" -}}
{{- if .Values.temporal.existingSecret }}
- name: temporal
  secret: { secretName: {{ .Values.temporal.existingSecret }}, defaultMode: 288 }
{{- end }}
{{- end }}
{{- define "temper.temporalMount" -}}
{{- if .Values.temporal.existingSecret }}
- { name: temporal, mountPath: /etc/temporal, readOnly: true }
{{- end }}
{{- end }}

{{/* The fleets as the controller knows them. */}}
{{- define "temper.fleetsJson" -}}
{{- $fleets := list }}
{{- range .Values.fleets }}
{{- $fleet := dict "name" .name "taskQueue" .taskQueue }}
{{- if .gpu }}{{ $_ := set $fleet "gpu" (dict "resource" .gpu.resource "count" (int .gpu.count)) }}{{ end }}
{{- if .nodeSelector }}{{ $_ := set $fleet "nodeSelector" .nodeSelector }}{{ end }}
{{- if .pricePerHour }}{{ $_ := set $fleet "pricePerHour" .pricePerHour }}{{ end }}
{{- $fleets = append $fleets $fleet }}
{{- end }}
{{- toJson $fleets }}
{{- end }}
