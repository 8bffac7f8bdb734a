{{- define "poolwright.name" -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}

{{- define "poolwright.selector" -}}
app.kubernetes.io/name: poolwright
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "poolwright.labels" -}}
{{ include "poolwright.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end -}}

{{- /* Where the lease lives, and the targets that name no namespace of their own. */ -}}
{{- define "poolwright.home" -}}
{{- $cluster := .Values.config.cluster | default dict -}}
{{ $cluster.namespace | default "default" }}
{{- end -}}

{{- /* Not empty where the daemon writes to the cluster, and so needs a leader: as `active` or `annotation`. */ -}}
{{- define "poolwright.writes" -}}
{{- if eq (.Values.config.mode | default "shadow") "active" -}}
active
{{- else if and (eq (.Values.config.mode | default "shadow") "recommend") (eq (.Values.config.recommend | default "metrics") "annotation") -}}
annotation
{{- end -}}
{{- end -}}

{{- define "poolwright.port" -}}
{{- $telemetry := .Values.config.telemetry | default dict -}}
{{- if and (hasKey $telemetry "port") (not $telemetry.port) -}}
{{- fail "config.telemetry.port: 0 is any port, which no probe finds; give one" -}}
{{- end -}}
{{ $telemetry.port | default 8080 | int }}
{{- end -}}

{{- define "poolwright.size" -}}
{{- $journal := .Values.config.journal | default dict -}}
{{ .Values.journal.size | default (printf "%dMi" (mul (int ($journal.rotate_mb | default 64)) (add (int ($journal.keep | default 10)) 2))) }}
{{- end -}}

{{- define "poolwright.plural" -}}
{{- $known := dict "Deployment" "deployments" "StatefulSet" "statefulsets" "ReplicaSet" "replicasets" -}}
{{- $kind := .target.kind | default "Deployment" -}}
{{ get .plurals $kind | default (get $known $kind) | default (printf "%ss" (lower $kind)) }}
{{- end -}}

{{- /* The API group of a target; the core group has no name. */ -}}
{{- define "poolwright.group" -}}
{{- $version := .api_version | default "apps/v1" -}}
{{- if contains "/" $version }}{{ index (splitList "/" $version) 0 }}{{ end -}}
{{- end -}}
