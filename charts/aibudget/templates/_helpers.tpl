{{/* The name of everything: the release's, with "aibudget" in it once. */}}
{{- define "aibudget.fullname" -}}
{{- if contains "aibudget" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-aibudget" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "aibudget.selector" -}}
app.kubernetes.io/name: aibudget
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "aibudget.labels" -}}
{{ include "aibudget.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: aibudget
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The operator's file of receivers; what is a Secret here is the path of a file there. */}}
{{- define "aibudget.receivers" -}}
{{- $all := list -}}
{{- range $receiver := .Values.notification.receivers -}}
{{- $one := omit $receiver "urlSecretRef" "caSecretRef" "headers" -}}
{{- $at := printf "/etc/aibudget/receivers/%s" $receiver.name -}}
{{- if $receiver.urlSecretRef -}}
{{- $one = set $one "urlFile" (printf "%s/url" $at) -}}
{{- end -}}
{{- if $receiver.caSecretRef -}}
{{- $one = set $one "caFile" (printf "%s/ca.crt" $at) -}}
{{- end -}}
{{- $headers := list -}}
{{- range $index, $header := $receiver.headers -}}
{{- if $header.secretRef -}}
{{- $headers = append $headers (dict "name" $header.name "valueFile" (printf "%s/header-%d" $at $index)) -}}
{{- else -}}
{{- $headers = append $headers $header -}}
{{- end -}}
{{- end -}}
{{- if $headers -}}
{{- $one = set $one "headers" $headers -}}
{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{ toYaml (dict "receivers" $all) }}
{{- end -}}

{{/* The operator's file of shared cost; nothing where there is no policy to read. */}}
{{- define "aibudget.sharedCost" -}}
{{- with .Values.sharedCost -}}
{{- if or .nodePools .systemNamespaces (ne .default.policy "Unallocated") -}}
{{ toYaml . }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aibudget.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of the hook: not the operator's component, or its Service and `release` would take it for the operator. */}}
{{- define "aibudget.hookLabels" -}}
app.kubernetes.io/name: aibudget-release
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: release
app.kubernetes.io/part-of: aibudget
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "aibudget.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
