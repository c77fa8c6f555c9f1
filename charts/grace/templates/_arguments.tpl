{{- /*
What may not be written into lists of arguments and variables: what the chart sets itself, which would then be set
twice, and what leaves the clients without a server that they can use. One line for each violation.
*/ -}}

{{- /* vLLM's flags that come from other values, and the value of each. A trailing `*`: every flag that begins so. */ -}}
{{- define "grace.arguments.own" -}}
model: model.repository
revision: model.revision
dtype: model.dtype
max-model-len: model.maxModelLen
reasoning-parser: model.reasoningParser
served-model-name: model.name
tensor-parallel-size: gpu.count
tp: gpu.count
pipeline-parallel-size: gpu.count
pp: gpu.count
data-parallel-*: gpu.count
dp*: gpu.count
nnodes: gpu.count
"n": gpu.count
gpu-memory-utilization: gpu.memoryUtilization
device-memory-utilization: gpu.memoryUtilization
port: server.port
shutdown-timeout: server.shutdownSeconds
download-dir: weights.storage
{{- end -}}

{{- /* vLLM's flags that no value replaces, and why. */ -}}
{{- define "grace.arguments.refused" -}}
api-key: everybody who may read the pod would read the key (P17); use server.apiKey.existingSecret
hf-token: everybody who may read the pod would read the token (P17); use weights.token.existingSecret
enable-scale-out: its endpoints are open even with a key, and one of them stops the engine
logprobs-mode: the clients read the model's own log-probabilities, which is vLLM's default, and refuse a server with others; leave it out
ssl-*: probes and clients speak plain HTTP inside the cluster; leave it out
uds: the server would listen on a file, and clients reach it by its port; leave it out
headless: the server would have no API for the clients; leave it out
grpc: the clients speak HTTP; leave it out
tokens-only: the clients ask in text, too; leave it out
skip-tokenizer-init: the clients ask the server for the ids of their words; leave it out
runner: the clients ask a model that generates, which is vLLM's default for one; leave it out
convert: the clients ask a model that generates; leave it out
task: the clients ask a model that generates; leave it out
pooler-config: the clients ask a model that generates; leave it out
{{- end -}}

{{- /* The same, where the chart makes the arguments. */ -}}
{{- define "grace.arguments.chart" -}}
host: the server listens on every address of its pod, where Service and probes reach it; leave it out
root-path: clients reach the server without a proxy; leave it out
config: a file could set what the rest of the release is computed from; write its settings as arguments and values
enable-prefix-caching: the chart sets it; leave it out
no-enable-prefix-caching: without the cache each question is computed once for every option; leave it out
disable-uvicorn-access-log: the chart sets it; leave it out
{{- end -}}

{{- /* Arguments of `grace run` that come from other values. */ -}}
{{- define "grace.arguments.client" -}}
server: server.port
model: model.name
api-key-file: server.apiKey
wait-for-server: queries.waitMinutes
trials: queries.trials
out: queries.runId
replicates: replicates
seed: seed
temperature: temperature
max-tokens: maxTokens
reasoning: reasoning
reasoning-effort: model.reasoningEffort
sample: sample
max-failed: queries.maxFailed
{{- end -}}

{{- /*
The name of the flag that an argument gives, without dashes, as vLLM reads it: an underscore is a dash, and a value
or a key of a JSON object may follow. Nothing where it is none.
*/ -}}
{{- define "grace.arguments.flag" -}}
{{- if hasPrefix "--" . -}}
{{ regexFind "^--[A-Za-z][A-Za-z0-9_-]*" . | trimPrefix "--" | replace "_" "-" }}
{{- else -}}
{{ regexFind "^-[A-Za-z]+" . | trimPrefix "-" }}
{{- end -}}
{{- end -}}

{{- /* Context: {flag, table}. What a table says of a flag. vLLM takes the beginning of a flag for the flag. */ -}}
{{- define "grace.arguments.lookup" -}}
{{- $flag := .flag -}}
{{- $table := .table -}}
{{- if hasKey $table $flag -}}
{{ get $table $flag }}
{{- else if $flag -}}
{{- $found := "" -}}
{{- range $name, $text := $table -}}
{{- $stem := trimSuffix "*" $name -}}
{{- if or (and (ne $stem $name) (hasPrefix $stem $flag)) (and (gt (len $flag) 2) (hasPrefix $flag $stem)) -}}
{{- $found = $text -}}
{{- end -}}
{{- end -}}
{{ $found }}
{{- end -}}
{{- end -}}

{{- /* Context: {flag, arguments}. The value of a flag in a list of arguments; nothing where it is not there. */ -}}
{{- define "grace.arguments.value" -}}
{{- $value := "" -}}
{{- range $index, $argument := .arguments -}}
{{- if eq (include "grace.arguments.flag" $argument) $.flag -}}
{{- if contains "=" $argument -}}
{{- $value = regexReplaceAll "^[^=]*=" $argument "" -}}
{{- else if lt (add1 $index) (len $.arguments | int64) -}}
{{- $value = index $.arguments (add1 $index | int) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ $value }}
{{- end -}}

{{- define "grace.policy.arguments" -}}
{{- $refused := include "grace.arguments.refused" . | fromYaml }}
{{- range $list, $arguments := dict "server.extraArgs" .Values.server.extraArgs "server.args" .Values.server.args }}
{{- range $argument := $arguments }}
{{- $flag := include "grace.arguments.flag" $argument }}
{{- with include "grace.arguments.lookup" (dict "flag" $flag "table" $refused) }}
{{ $list }} holds {{ regexFind "^[^=]*" $argument }}: {{ . }}.
{{- end }}
{{- end }}
{{- end }}
{{- $own := include "grace.arguments.own" . | fromYaml }}
{{- $chart := include "grace.arguments.chart" . | fromYaml }}
{{- $seen := dict }}
{{- range $argument := .Values.server.extraArgs }}
{{- $flag := include "grace.arguments.flag" $argument }}
{{- with include "grace.arguments.lookup" (dict "flag" $flag "table" $own) }}
server.extraArgs holds {{ $argument }}: set {{ . }} instead, which the rest of the release is computed from.
{{- end }}
{{- with include "grace.arguments.lookup" (dict "flag" $flag "table" $chart) }}
server.extraArgs holds {{ $argument }}: {{ . }}.
{{- end }}
{{- if and $flag (regexMatch "^[^=]*\\s" $argument) }}
server.extraArgs holds "{{ $argument }}": vLLM takes it for one word; write --flag=value, or flag and value as two entries.
{{- end }}
{{- $name := trimPrefix "no-" $flag }}
{{- if and $name (hasKey $seen $name) (ne $name "middleware") (not (regexMatch "^[^=]*[.]" $argument)) }}
server.extraArgs holds {{ regexFind "^[^=]*" $argument }} and {{ get $seen $name }}: vLLM takes the last without a word; keep one.
{{- end }}
{{- $_ := set $seen $name (regexFind "^[^=]*" $argument) }}
{{- end }}
{{- if and .Values.server.args .Values.server.extraArgs }}
server.args and server.extraArgs are both set: server.args stands in place of all arguments, so the others would be lost; keep one.
{{- end }}
{{- range $flag, $value := dict "port" (dict "path" "server.port" "is" (int .Values.server.port | toString)) "served-model-name" (dict "path" "model.name" "is" .Values.model.name) }}
{{- $given := include "grace.arguments.value" (dict "flag" $flag "arguments" $.Values.server.args) }}
{{- if and $given (ne $given $value.is) }}
server.args gives --{{ $flag }} {{ $given }}: {{ $value.path }} is {{ $value.is }}, and the clients ask for that; make them equal.
{{- end }}
{{- end }}
{{- $client := include "grace.arguments.client" . | fromYaml }}
{{- range $experiment, $settings := .Values.queries.experiments }}
{{- range $argument := $settings.extraArgs }}
{{- with get $client (include "grace.arguments.flag" $argument) }}
queries.experiments.{{ $experiment }}.extraArgs holds {{ $argument }}: set {{ contains "." . | ternary . (printf "queries.experiments.%s.%s" $experiment .) }} instead.
{{- end }}
{{- end }}
{{- end }}
{{- include "grace.policy.variables" . }}
{{- end -}}

{{- /* A variable twice in one container is refused by the API server in words about a patch, or the last one counts. */ -}}
{{- define "grace.policy.variables" -}}
{{- $server := list "VLLM_API_KEY" "POD_NAME" "USER" "HOME" "HF_HOME" "HF_HUB_OFFLINE" "VLLM_NO_USAGE_STATS" "VLLM_LOGGING_CONFIG_PATH" }}
{{- $own := dict "server.extraEnv" $server "queries.extraEnv" (list "HOME" "GRACE_PROGRESS") }}
{{- range $list, $entries := dict "server.extraEnv" .Values.server.extraEnv "queries.extraEnv" .Values.queries.extraEnv }}
{{- $seen := list }}
{{- range $entries }}
{{- if has .name (get $own $list) }}
{{ $list }} gives {{ .name }}: the chart sets it itself; leave it out.
{{- else if has .name $seen }}
{{ $list }} gives {{ .name }} twice: keep one.
{{- end }}
{{- $seen = append $seen .name }}
{{- end }}
{{- end }}
{{- end -}}
