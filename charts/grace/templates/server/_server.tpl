{{- /* The model server: how long it may take, its arguments, and its container, for both server.kind. */ -}}

{{- /* Seconds to move the weights once, at a rate in MB/s. Context: {root, rate}. */ -}}
{{- define "grace.seconds.move" -}}
{{ divf (mulf .root.Values.model.weightsGiB 1073.741824) .rate | ceil | int }}
{{- end -}}

{{- /* Seconds from the server's start to its first answer: reading the weights, then preparing the engine. */ -}}
{{- define "grace.seconds.load" -}}
{{- $move := include "grace.seconds.move" (dict "root" . "rate" .Values.server.startup.readMBps) | int -}}
{{ add $move .Values.server.startup.engineSeconds }}
{{- end -}}

{{- define "grace.seconds.startup" -}}
{{ .Values.server.startup.budgetSeconds | default (include "grace.seconds.load" .) | int }}
{{- end -}}

{{- define "grace.seconds.download" -}}
{{- if eq .Values.weights.stage "init" -}}
{{ include "grace.seconds.move" (dict "root" . "rate" .Values.weights.downloadMBps) }}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{- /* Minutes that a client waits for the first answer: in the queue for GPUs, for the download, for the start. */ -}}
{{- define "grace.minutes.wait" -}}
{{- with int .Values.queries.waitMinutes -}}
{{ . }}
{{- else -}}
{{- $seconds := add (include "grace.seconds.download" . | int) (include "grace.seconds.startup" . | int) -}}
{{ add (int .Values.queries.queueMinutes) (div (add $seconds 59) 60) }}
{{- end -}}
{{- end -}}

{{- define "grace.server.args" -}}
{{- if .Values.server.args -}}
{{ toYaml .Values.server.args }}
{{- else -}}
- {{ .Values.model.repository }}
{{ include "grace.arguments.given" (dict "root" . "of" "server") }}
{{- range .Values.server.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* Context: {root, sidecar}. */ -}}
{{- define "grace.server.container" -}}
{{- $server := .root.Values.server -}}
name: server
{{- if .sidecar }}
# With this, an init container is a native sidecar: it stays, and ends when the clients have ended.
restartPolicy: Always
{{- end }}
image: {{ include "grace.image" $server.image }}
imagePullPolicy: {{ $server.image.pullPolicy }}
command:
  {{- $server.command | default (list "vllm" "serve") | toYaml | nindent 2 }}
args:
  {{- include "grace.server.args" .root | nindent 2 }}
env:
  - name: VLLM_API_KEY
    valueFrom:
      secretKeyRef:
        name: {{ include "grace.names.apiKey" .root }}
        key: {{ $server.apiKey.key }}
  - name: POD_NAME
    valueFrom:
      fieldRef:
        apiVersion: v1
        fieldPath: metadata.name
  # The image may not know the user's number: PyTorch asks for its name, and every cache lies under its home.
  - name: USER
    value: grace
  - name: HOME
    value: /tmp
  - name: HF_HOME
    value: /weights
  # The weights are there or the server does not start; it never downloads while it holds GPUs.
  - name: HF_HUB_OFFLINE
    value: "1"
  - name: VLLM_NO_USAGE_STATS
    value: "1"
  {{- if .root.Values.storage.logs.enabled }}
  - name: VLLM_LOGGING_CONFIG_PATH
    value: /etc/grace/logging/vllm.json
  {{- end }}
  {{- with $server.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: http
    containerPort: {{ int $server.port }}
    protocol: TCP
resources:
  {{- range $kind := list "requests" "limits" }}
  {{ $kind }}:
    {{- range $what, $quantity := index $server.resources $kind }}
    {{ $what }}: {{ include "grace.quantity.text" $quantity | quote }}
    {{- end }}
    {{- if int $.root.Values.gpu.count }}
    {{ $.root.Values.gpu.resource }}: {{ int $.root.Values.gpu.count | quote }}
    {{- end }}
  {{- end }}
# Counted from the container's start: it covers reading all weights at {{ $server.startup.readMBps }} MB/s.
startupProbe:
  httpGet:
    path: /health
    port: http
  periodSeconds: {{ int $server.startup.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ divf (include "grace.seconds.startup" .root | int) $server.startup.periodSeconds | ceil | int }}
{{- range $probe, $settings := $server.probes }}
{{ $probe }}Probe:
  httpGet:
    path: /health
    port: http
  {{- range $field, $value := $settings }}
  {{ $field }}: {{ int $value }}
  {{- end }}
{{- end }}
securityContext:
  {{- mustMergeOverwrite (deepCopy .root.Values.containerSecurityContext) $server.containerSecurityContext | toYaml | nindent 2 }}
volumeMounts:
  - name: shm
    mountPath: /dev/shm
  - name: server-tmp
    mountPath: /tmp
  {{- if .root.Values.weights.storage.enabled }}
  - name: weights
    mountPath: /weights
  {{- end }}
  {{- if .root.Values.storage.logs.enabled }}
  - name: logging
    mountPath: /etc/grace/logging
    readOnly: true
  # One folder for each pod: a file has one writer.
  - name: logs
    mountPath: /var/log/grace
    subPathExpr: {{ .root.Values.model.name }}/$(POD_NAME)
  {{- end }}
  {{- with $server.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "grace.server.volumes" -}}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ include "grace.quantity.text" .Values.server.shmSize | quote }}
- name: server-tmp
  emptyDir: {}
{{- if .Values.weights.storage.enabled }}
- name: weights
  persistentVolumeClaim:
    claimName: {{ include "grace.names.weights" . }}
{{- end }}
{{- if .Values.storage.logs.enabled }}
- name: logging
  configMap:
    name: {{ include "grace.names.logging" . }}
- name: logs
  persistentVolumeClaim:
    claimName: {{ include "grace.names.shared" (dict "root" . "purpose" "logs") }}
{{- end }}
{{- with .Values.server.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
