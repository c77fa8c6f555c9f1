{{- /* The clients: one container for each enabled experiment, in a Job of its own or beside the server. */ -}}

{{- define "grace.queries.folder" -}}
{{ .experiment }}/{{ .root.Values.model.name }}/{{ .root.Values.queries.runId | default .root.Release.Name }}
{{- end -}}

{{- define "grace.queries.url" -}}
{{- if eq .Values.server.kind "Job" -}}
http://127.0.0.1:{{ int .Values.server.port }}
{{- else -}}
http://{{ include "grace.names.service" . }}:{{ int .Values.server.port }}
{{- end -}}
{{- end -}}

{{- /* Context: {root, name, experiment, settings}. */ -}}
{{- define "grace.queries.container" -}}
{{- $queries := .root.Values.queries -}}
{{- $settings := .settings -}}
name: {{ .name }}
image: {{ include "grace.image.client" .root }}
imagePullPolicy: {{ $queries.image.pullPolicy }}
{{- with $queries.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
args:
  - run
  - {{ include "grace.queries.asked" . }}
  - --server={{ include "grace.queries.url" .root }}
  - --model={{ .root.Values.model.name }}
  - --api-key-file=/etc/grace/api-key/{{ .root.Values.server.apiKey.key }}
  - --wait-for-server={{ include "grace.minutes.wait" .root }}
  {{- with include "grace.queries.trials" . }}
  - --trials={{ . }}
  {{- end }}
  {{- if $settings.indexed }}
  # One replicate for each index, in a folder and with a seed of its own (ten times the base seed, plus the index).
  - --out=/output/{{ include "grace.queries.folder" . }}/replicate-$(JOB_COMPLETION_INDEX)
  {{- $settings = merge (dict "replicates" 1 "seed" (printf "%d$(JOB_COMPLETION_INDEX)" (int $settings.seed))) $settings }}
  {{- else }}
  - --out=/output/{{ include "grace.queries.folder" . }}
  {{- end }}
  {{- include "grace.arguments.given" (dict "root" .root "of" "client" "experiment" $settings) | nindent 2 }}
  # What the server does not tell of itself, for the run's manifest.
  {{- range $name, $path := .root.Values.arguments.client.declared }}
  - --declare={{ $name }}={{ include "grace.arguments.at" (dict "values" $.root.Values "path" $path) }}
  {{- end }}
  {{- range $settings.extraArgs }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: HOME
    value: /tmp
  # Progress as lines of JSON, which `grace campaign` reads in the log.
  - name: GRACE_PROGRESS
    value: json
  {{- with $queries.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- include "grace.resources.equal" $queries.resources | trim | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: api-key
    mountPath: /etc/grace/api-key
    readOnly: true
  - name: output
    mountPath: /output
  {{- if .root.Values.storage.input.enabled }}
  - name: input
    mountPath: /input
    readOnly: true
  {{- end }}
  {{- if include "grace.queries.lists" .root }}
  - name: trials
    mountPath: /trials
    readOnly: true
  {{- end }}
  {{- if $queries.study }}
  - name: study
    mountPath: /study
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "grace.queries.volumes" -}}
- name: tmp
  emptyDir: {}
- name: api-key
  secret:
    secretName: {{ include "grace.names.apiKey" . }}
    # Octal 0440: readable through the pod's group.
    defaultMode: 288
- name: output
  persistentVolumeClaim:
    claimName: {{ include "grace.names.shared" (dict "root" . "purpose" "output") }}
{{- if .Values.storage.input.enabled }}
- name: input
  persistentVolumeClaim:
    claimName: {{ include "grace.names.shared" (dict "root" . "purpose" "input") }}
{{- end }}
{{- if include "grace.queries.lists" . }}
- name: trials
  configMap:
    name: {{ include "grace.names.trials" . }}
{{- end }}
{{- if .Values.queries.study }}
- name: study
  configMap:
    name: {{ include "grace.names.study" . }}
{{- end }}
{{- end -}}

{{- /* After a change of the study, the trials or the key, the Job has another name. */ -}}
{{- define "grace.queries.annotations" -}}
{{- with .Values.queries.study }}
grace/study: {{ print . (toJson $.Values.queries.studyFiles) | sha256sum }}
{{- end }}
{{- with include "grace.queries.lists" . }}
grace/trials: {{ sha256sum . }}
{{- end }}
{{ include "grace.key.annotation" . }}
{{- end -}}

{{- /* Context: {root, experiment, settings}. */ -}}
{{- define "grace.queries.spec" -}}
{{- $queries := .root.Values.queries -}}
{{- if .settings.indexed }}
completionMode: Indexed
completions: {{ int .settings.replicates }}
parallelism: {{ int .settings.replicates }}
{{- end }}
backoffLimit: {{ int $queries.backoffLimit }}
activeDeadlineSeconds: {{ int $queries.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ int $queries.ttlSecondsAfterFinished }}
{{- include "grace.jobFailure" (dict "root" .root "containers" (list "query")) }}
template:
  metadata:
    labels:
      {{- include "grace.podLabels" (dict "root" .root "component" "query") | nindent 6 }}
      grace/experiment: {{ .experiment }}
    {{- with include "grace.queries.annotations" .root | trim }}
    annotations:
      {{- . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    {{- include "grace.pod" (dict "root" .root "overrides" dict) | nindent 4 }}
    {{- with include "grace.placement" (dict "root" .root "gpu" false) }}
    {{- . | nindent 4 }}
    {{- end }}
    # Time to write the answers in flight.
    terminationGracePeriodSeconds: 60
    containers:
      - {{ include "grace.queries.container" (merge (dict "name" "query") .) | nindent 8 | trim }}
    volumes:
      {{- include "grace.queries.volumes" .root | nindent 6 }}
{{- end -}}

{{- /* Context: {root, experiment, settings}. */ -}}
{{- define "grace.queries.jobName" -}}
{{ include "grace.jobName" (dict "name" (include "grace.names.jobQuery" .) "spec" (include "grace.queries.spec" . | trim)) }}
{{- end -}}
