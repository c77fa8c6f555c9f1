{{- /*
The arguments in files/arguments.yaml, and the arguments and variables that users may not add: those that the chart sets
itself, and those with which the clients cannot use the server. One line for each violation.
*/ -}}

{{- /* Reads the list once: parsing it for each Job would double the time of a render. */ -}}
{{- define "grace.arguments.read" -}}
{{- if not (hasKey .Values "arguments") -}}{{- $_ := set .Values "arguments" (.Files.Get "files/arguments.yaml" | fromYaml) -}}{{- end -}}
{{- end -}}

{{- /*
The value at a dotted path as text; nothing if there is none. YAML reads on and off without quotes as true and false.
Context: {values, path}.
*/ -}}
{{- define "grace.arguments.at" -}}
{{- $found := .values -}}
{{- range splitList "." .path -}}{{- $found = get $found . -}}{{- end -}}
{{- if kindIs "bool" $found -}}{{- $found = ternary "on" "off" $found -}}{{- end -}}
{{- include "grace.quantity.text" $found -}}
{{- end -}}

{{- /* Context: {root, of, experiment}, the last with an experiment's settings. The arguments, one a line. */ -}}
{{- define "grace.arguments.given" -}}
{{- $values := dict "experiment" (.experiment | default dict) -}}
{{- range list "model" "gpu" "server" "queries" -}}{{- $_ := set $values . (get $.root.Values .) -}}{{- end -}}
{{- $lines := list -}}
{{- include "grace.arguments.read" .root -}}
{{- range (get .root.Values.arguments .of).given -}}
{{- $value := "" -}}{{- $when := "yes" -}}
{{- with .value -}}{{- $value = include "grace.arguments.at" (dict "values" $values "path" .) -}}{{- end -}}
{{- with .when -}}{{- $when = include "grace.arguments.at" (dict "values" $values "path" .) -}}{{- end -}}
{{- if and (or $value (not .value)) (not (has $when (list "" "0"))) -}}
{{- $lines = append $lines (print "- " .argument (empty .value | ternary "" "=") $value) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}

{{- /* Context: {root, of}. Flags that other values decide, and which value to set instead. */ -}}
{{- define "grace.arguments.own" -}}
{{- include "grace.arguments.read" .root -}}
{{- $table := get .root.Values.arguments .of -}}
{{- $own := deepCopy $table.from -}}
{{- range $table.given -}}
{{- if .value -}}{{- $_ := set $own (trimPrefix "--" .argument) .value -}}{{- end -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}

{{- /*
The name of the flag that an argument gives, without dashes, as vLLM reads it: an underscore is a dash, and a value
or a key of a JSON object may follow. Nothing if the argument is no flag.
*/ -}}
{{- define "grace.arguments.flag" -}}
{{- if hasPrefix "--" . -}}
{{ regexFind "^--[A-Za-z][A-Za-z0-9_-]*" . | trimPrefix "--" | replace "_" "-" }}
{{- else -}}
{{ regexFind "^-[A-Za-z]+" . | trimPrefix "-" }}
{{- end -}}
{{- end -}}

{{- /* Context: {flag, table}. The text of a flag in a table. vLLM accepts the beginning of a flag as the flag. */ -}}
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

{{- /* Context: {flag, arguments}. The value of a flag in a list of arguments; nothing if the list does not have it. */ -}}
{{- define "grace.arguments.of" -}}
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

{{- define "grace.rules.arguments" -}}
{{- include "grace.arguments.read" . }}
{{- $table := .Values.arguments.server }}
{{- range $list, $arguments := dict "server.extraArgs" .Values.server.extraArgs "server.args" .Values.server.args }}
{{- range $argument := $arguments }}
{{- $flag := include "grace.arguments.flag" $argument }}
{{- with include "grace.arguments.lookup" (dict "flag" $flag "table" $table.refused) }}
{{ $list }} contains {{ regexFind "^[^=]*" $argument }}: {{ . }}.
{{- end }}
{{- end }}
{{- end }}
{{- $own := include "grace.arguments.own" (dict "root" . "of" "server") | fromYaml }}
{{- $beside := deepCopy $table.refusedBeside }}
{{- range $table.given }}
{{- if not .value }}{{- $_ := set $beside (trimPrefix "--" .argument) "the chart sets it; leave it out" }}{{- end }}
{{- end }}
{{- $seen := dict }}
{{- range $argument := .Values.server.extraArgs }}
{{- $flag := include "grace.arguments.flag" $argument }}
{{- with include "grace.arguments.lookup" (dict "flag" $flag "table" $own) }}
server.extraArgs contains {{ $argument }}: set {{ . }} instead, because the chart computes the rest of the release from it.
{{- end }}
{{- with include "grace.arguments.lookup" (dict "flag" $flag "table" $beside) }}
server.extraArgs contains {{ $argument }}: {{ . }}.
{{- end }}
{{- if and $flag (regexMatch "^[^=]*\\s" $argument) }}
server.extraArgs contains "{{ $argument }}": vLLM reads it as one word; write --flag=value, or write flag and value as two entries.
{{- end }}
{{- $name := trimPrefix "no-" $flag }}
{{- if and $name (hasKey $seen $name) (ne $name "middleware") (not (regexMatch "^[^=]*[.]" $argument)) }}
server.extraArgs contains {{ regexFind "^[^=]*" $argument }} and {{ get $seen $name }}: vLLM uses the last one and does not warn; keep one.
{{- end }}
{{- $_ := set $seen $name (regexFind "^[^=]*" $argument) }}
{{- end }}
{{- if and .Values.server.args .Values.server.extraArgs }}
server.args and server.extraArgs are both set: server.args replaces all arguments, so server.extraArgs would be ignored; keep one.
{{- end }}
{{- range $flag, $value := dict "port" (dict "path" "server.port" "is" (int .Values.server.port | toString)) "served-model-name" (dict "path" "model.name" "is" .Values.model.name) }}
{{- $given := include "grace.arguments.of" (dict "flag" $flag "arguments" $.Values.server.args) }}
{{- if and $given (ne $given $value.is) }}
server.args gives --{{ $flag }} {{ $given }}: {{ $value.path }} is {{ $value.is }}, and the clients use that; make them equal.
{{- end }}
{{- end }}
{{- $client := include "grace.arguments.own" (dict "root" . "of" "client") | fromYaml }}
{{- range $experiment, $settings := .Values.queries.experiments }}
{{- range $argument := $settings.extraArgs }}
{{- with get $client (include "grace.arguments.flag" $argument) }}
queries.experiments.{{ $experiment }}.extraArgs contains {{ $argument }}: set {{ replace "experiment." (printf "queries.experiments.%s." $experiment) . }} instead.
{{- end }}
{{- end }}
{{- end }}
{{- include "grace.rules.variables" . }}
{{- end -}}

{{- /* If a container has a variable twice, the API server refuses a patch without naming it, or uses the last one. */ -}}
{{- define "grace.rules.variables" -}}
{{- $server := list "VLLM_API_KEY" "POD_NAME" "USER" "HOME" "HF_HOME" "HF_HUB_OFFLINE" "VLLM_NO_USAGE_STATS" "VLLM_LOGGING_CONFIG_PATH" }}
{{- $own := dict "server.extraEnv" $server "queries.extraEnv" (list "HOME" "GRACE_PROGRESS") }}
{{- range $list, $entries := dict "server.extraEnv" .Values.server.extraEnv "queries.extraEnv" .Values.queries.extraEnv }}
{{- $seen := list }}
{{- range $entries }}
{{- if has .name (get $own $list) }}
{{ $list }} gives {{ .name }}: the chart sets it; leave it out.
{{- else if has .name $seen }}
{{ $list }} gives {{ .name }} twice: keep one.
{{- end }}
{{- $seen = append $seen .name }}
{{- end }}
{{- end }}
{{- end -}}
