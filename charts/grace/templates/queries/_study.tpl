{{- /*
What a release asks: the experiments of the studies in the client's image, or those of a study file in the values or on
the input claim. grace_client/deploy/study.py reads the same values.
*/ -}}

{{- /*
Reads the study file once, into .Values.ownStudy: name, path in the container, text, experiments. All are empty if there
is no study file, or if it has faults: grace.rules.study names these.
*/ -}}
{{- define "grace.study.read" -}}
{{- if not (hasKey .Values "ownStudy") -}}
{{- $queries := .Values.queries -}}
{{- $own := dict "name" "" "path" "" "experiments" list "file" dict -}}
{{- if $queries.study -}}
{{- /* grace reads every key as a text; for Helm, some words at the beginning of a line are none. */ -}}
{{- $file := regexReplaceAll "(?m)^( *)(null|true|false|yes|no|on|off|y|n)( *:)" $queries.study "${1}\"${2}\"${3}" | fromYaml -}}
{{- $name := get $file "study" | toString -}}
{{- $_ := set $own "file" $file -}}
{{- if include "grace.study.isName" $name -}}
{{- $_ := set $own "name" $name -}}
{{- $_ := set $own "path" (printf "/study/%s.yaml" $name) -}}
{{- $experiments := list -}}
{{- if kindIs "map" (get $file "experiments") -}}
{{- range $key := keys $file.experiments | sortAlpha -}}{{- $experiments = append $experiments (printf "%s-%s" $name $key) -}}{{- end -}}
{{- end -}}
{{- $_ := set $own "experiments" $experiments -}}
{{- end -}}
{{- else if $queries.studyFromInput -}}
{{- $name := regexReplaceAll "[.]ya?ml$" (base $queries.studyFromInput) "" -}}
{{- $experiments := list -}}
{{- range $experiment := keys $queries.experiments | sortAlpha -}}
{{- if hasPrefix (print $name "-") $experiment -}}{{- $experiments = append $experiments $experiment -}}{{- end -}}
{{- end -}}
{{- $own = dict "name" $name "path" (print "/input/" $queries.studyFromInput) "experiments" $experiments "file" dict -}}
{{- end -}}
{{- $_ := set .Values "ownStudy" $own -}}
{{- end -}}
{{- end -}}

{{- define "grace.study.isName" -}}
{{- if and (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)*$" .) (le (len .) 40) -}}true{{- end -}}
{{- end -}}

{{- /* Names of the enabled experiments, as a JSON list. */ -}}
{{- define "grace.queries.names" -}}
{{- include "grace.study.read" . -}}
{{- $queries := .Values.queries -}}
{{- $names := list -}}
{{- range $name := or $queries.study $queries.studyFromInput | empty | ternary (keys $queries.experiments | sortAlpha) .Values.ownStudy.experiments -}}
{{- if ne (get (get $queries.experiments $name | default dict) "enabled" | toString) "false" -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{- /* The study of an experiment; nothing for one whose study the values do not name. Context: {root, experiment}. */ -}}
{{- define "grace.queries.study" -}}
{{- include "grace.study.read" .root -}}
{{- $found := .root.Values.ownStudy.name -}}
{{- if not $found -}}
{{- $trials := .root.Values.queries.trials -}}
{{- range $study := concat (omit $trials "folder" "fromInput" | keys) (keys $trials.fromInput) -}}
{{- if and (hasPrefix (print $study "-") $.experiment) (gt (len $study) (len $found)) -}}{{- $found = $study -}}{{- end -}}
{{- end -}}
{{- end -}}
{{ $found }}
{{- end -}}

{{- /* An experiment as `grace run` takes it. Context: {root, experiment}. */ -}}
{{- define "grace.queries.asked" -}}
{{- include "grace.study.read" .root -}}
{{- with .root.Values.ownStudy.path }}{{ . }}:{{ end }}{{ .experiment -}}
{{- end -}}

{{- /* The path of an experiment's trial list in the container; nothing for the study's own list. Context: {root, experiment}. */ -}}
{{- define "grace.queries.trials" -}}
{{- $trials := .root.Values.queries.trials -}}
{{- $study := include "grace.queries.study" . -}}
{{- if get $trials $study -}}
/trials/{{ $study }}.csv
{{- else if get $trials.fromInput $study -}}
/input/{{ get $trials.fromInput $study }}
{{- else if and $study (not .root.Values.ownStudy.name) -}}
{{ $trials.folder }}/{{ $study }}.csv
{{- end -}}
{{- end -}}

{{- /* The texts of all trial lists, one after another; nothing without any. */ -}}
{{- define "grace.queries.lists" -}}
{{- range $study, $text := omit .Values.queries.trials "folder" "fromInput" }}{{ $text }}{{ end -}}
{{- end -}}

{{- define "grace.rules.study" -}}
{{- include "grace.study.read" . }}
{{- $queries := .Values.queries }}
{{- $own := .Values.ownStudy }}
{{- $error := get $own.file "Error" }}
{{- if and $queries.study $queries.studyFromInput }}
queries.study and queries.studyFromInput are both set: keep one.
{{- else if and $queries.study $error }}
queries.study is not the text of a study file ({{ $error | trunc 200 | replace "\n" " " }}): give it with --set-file queries.study=FILE.yaml, or copy the file to the input claim and name it in queries.studyFromInput.
{{- else if and $queries.study (not $own.name) }}
queries.study has the name {{ get $own.file "study" | toJson }} (key study): a study's name has small letters, digits and hyphens, and at most 40 characters.
{{- else if and $queries.study (not $own.experiments) }}
queries.study has no experiments (key experiments): see grace study check.
{{- else if and $queries.studyFromInput (not $own.experiments) }}
queries.studyFromInput is {{ $queries.studyFromInput }}: name the experiments of {{ $own.name }} in queries.experiments, such as {{ $own.name }}-EXPERIMENT with enabled true.
{{- end }}
{{- if and $queries.studyFromInput (not .Values.storage.input.enabled) }}
queries.studyFromInput is set: it names a file on the input claim, and storage.input.enabled is false; set that to true.
{{- end }}
{{- if and $queries.study $own.experiments }}
{{- include "grace.rules.studyFiles" . }}
{{- else if and $queries.studyFiles (not $queries.study) }}
queries.studyFiles is set: it has files that queries.study names, and queries.study is empty; set both.
{{- end }}
{{- range $name := include "grace.queries.names" . | fromJsonArray }}
{{- if not (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)+$" $name) }}
queries.study has the experiment {{ $name }}: an experiment's name has small letters, digits and hyphens.
{{- else if gt (len $name) 63 }}
queries.experiments: {{ $name }} has {{ len $name }} characters, and a label in Kubernetes has at most 63; shorten the name of the study or of the experiment.
{{- end }}
{{- end }}
{{- if $own.name }}
{{- range $name, $settings := $queries.experiments }}
{{- $known := $own.experiments }}
{{- range $study := omit $queries.trials "folder" "fromInput" | keys }}
{{- if and (ne $study $own.name) (hasPrefix (print $study "-") $name) }}{{- $known = append $known $name }}{{- end }}
{{- end }}
{{- if not (has $name $known) }}
queries.experiments.{{ $name }} is no experiment of the study {{ $own.name }}: it has {{ join ", " $own.experiments }}.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The files that a study file names, and its trial list. */ -}}
{{- define "grace.rules.studyFiles" -}}
{{- $queries := .Values.queries }}
{{- $own := .Values.ownStudy }}
{{- $bytes := len $queries.study }}
{{- range $name, $text := $queries.studyFiles }}
{{- $bytes = add $bytes (len $text) }}
{{- if eq $name (base $own.path) }}
queries.studyFiles has {{ $name }}: the study file has this name; give the other file another one.
{{- end }}
{{- end }}
{{- if gt (int $bytes) 1000000 }}
queries.study and queries.studyFiles have {{ $bytes }} bytes: a ConfigMap can have at most 1000000; copy the files to the input claim and name the study in queries.studyFromInput.
{{- end }}
{{- range $experiment := values $own.file.experiments }}
{{- if kindIs "map" $experiment }}
{{- if kindIs "slice" $experiment.ask }}
{{- range $question := $experiment.ask }}
{{- if kindIs "map" $question }}
{{- if kindIs "map" $question.examples }}
{{- with $question.examples.file }}
{{- if not (hasKey $queries.studyFiles (toString .)) }}
queries.study names the file {{ . }}: give it with --set-file 'queries.studyFiles.{{ toString . | replace "." "\\." }}={{ . }}'.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $trials := get $own.file "trials" }}
{{- $declared := kindIs "map" $trials | ternary $trials dict }}
{{- if not (or (get $queries.trials $own.name) (get $queries.trials.fromInput $own.name)) }}
{{- if and $declared.file (not (hasKey $queries.studyFiles (toString $declared.file))) }}
queries.study names its trial list, {{ $declared.file }}: give it with --set-file queries.trials.{{ $own.name }}={{ $declared.file }}.
{{- else if not (or $declared.file (hasKey $declared "make")) }}
queries.study has no trial list of its own: give one with --set-file queries.trials.{{ $own.name }}=FILE.csv, or name one on the input claim in queries.trials.fromInput.{{ $own.name }}.
{{- end }}
{{- end }}
{{- end -}}

{{- define "grace.rules.trials" -}}
{{- include "grace.study.read" . }}
{{- $trials := .Values.queries.trials }}
{{- $texts := omit $trials "folder" "fromInput" }}
{{- $bytes := include "grace.queries.lists" . | len }}
{{- if gt $bytes 1000000 }}
queries.trials has lists of {{ $bytes }} bytes: a ConfigMap can have at most 1000000; copy the lists to the input claim and name them in queries.trials.fromInput.
{{- end }}
{{- $given := dict }}
{{- range $study, $text := $texts }}
{{- if and $text (get $trials.fromInput $study) }}
queries.trials.{{ $study }} and queries.trials.fromInput.{{ $study }} are both set: keep one.
{{- end }}
{{- if or $text (get $trials.fromInput $study) }}{{- $_ := set $given $study "" }}{{- end }}
{{- end }}
{{- range $study, $file := $trials.fromInput }}
{{- if $file }}{{- $_ := set $given $study "fromInput." }}{{- end }}
{{- end }}
{{- range $study, $where := $given }}
{{- if $.Values.ownStudy.name }}
{{- if ne $study $.Values.ownStudy.name }}
queries.trials.{{ $where }}{{ $study }} is set: this release asks the study {{ $.Values.ownStudy.name }}; name its list queries.trials.{{ $where }}{{ $.Values.ownStudy.name }}.
{{- end }}
{{- else }}
{{- $asked := list }}
{{- range $experiment := keys $.Values.queries.experiments }}
{{- if eq $study (include "grace.queries.study" (dict "root" $ "experiment" $experiment)) }}{{- $asked = append $asked $experiment }}{{- end }}
{{- end }}
{{- if not $asked }}
queries.trials.{{ $where }}{{ $study }} is set: queries.experiments has no experiment of a study {{ $study }}.
{{- end }}
{{- end }}
{{- end }}
{{- if and (values $trials.fromInput | compact) (not .Values.storage.input.enabled) }}
queries.trials.fromInput is set: it names files on the input claim, and storage.input.enabled is false; set that to true.
{{- end }}
{{- end -}}
