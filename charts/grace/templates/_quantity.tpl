{{- /*
Exact arithmetic on Kubernetes quantities (8, 9.6, "9600m", "76.8Gi", 1e3). Template integers have 64 bits and
floats 53, too few for bytes times a ratio, so a quantity becomes a whole number of 10^-18 written with 54 digits:
such strings of equal length compare as the numbers do.
*/ -}}

{{- /* A quantity as text. YAML numbers reach templates as floats, and 34359738368 would print as 3.4e+10. */ -}}
{{- define "grace.quantity.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) (float64 .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{- /* "true" if the text is a Kubernetes quantity with at most three decimals. */ -}}
{{- define "grace.quantity.valid" -}}
{{- regexMatch "^[0-9]{1,14}([.][0-9]{1,3})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+]?(1[0-8]|[0-9]))?$" . -}}
{{- end -}}

{{- /* Context: {text, by}. The quantity times the small whole number `by`, in 10^-18, as 54 digits. */ -}}
{{- define "grace.quantity.digits" -}}
{{- $mantissa := regexFind "^[0-9.]+" .text -}}
{{- $suffix := trimPrefix $mantissa .text -}}
{{- $whole := regexFind "^[0-9]+" $mantissa -}}
{{- $fraction := trimPrefix $whole $mantissa | trimPrefix "." -}}
{{- $factors := list .by -}}
{{- $zeros := sub 18 (len $fraction) -}}
{{- if hasSuffix "i" $suffix -}}
{{- $power := index (dict "Ki" 10 "Mi" 20 "Gi" 30 "Ti" 40 "Pi" 50 "Ei" 60) $suffix -}}
{{- /* In steps of at most 2^30, which times nine digits still fits 64 bits. */ -}}
{{- range until (div $power 10 | int) -}}{{- $factors = append $factors 1024 -}}{{- end -}}
{{- else if regexMatch "^[eE][+]?[0-9]+$" $suffix -}}
{{- $zeros = add $zeros (regexFind "[0-9]+$" $suffix | atoi) -}}
{{- else -}}
{{- $zeros = add $zeros (index (dict "" 0 "m" -3 "k" 3 "M" 6 "G" 9 "T" 12 "P" 15 "E" 18) $suffix) -}}
{{- end -}}
{{- $number := printf "%s%s%s" $whole $fraction (repeat (int $zeros) "0") -}}
{{- $number = printf "%s%s" (repeat (int (sub 54 (len $number))) "0") $number -}}
{{- range $factor := $factors -}}
{{- $carry := 0 -}}{{- $product := "" -}}
{{- range $limb := list 45 36 27 18 9 0 -}}
{{- $part := add $carry (mul $factor (substr $limb (int (add $limb 9)) $number | atoi)) -}}
{{- $product = printf "%09d%s" (mod $part 1000000000) $product -}}
{{- $carry = div $part 1000000000 -}}
{{- end -}}
{{- $number = $product -}}
{{- end -}}
{{- $number -}}
{{- end -}}

{{- /* Context: {a, aBy, b, bBy}, a and b as text. "true" if a × aBy > b × bBy. */ -}}
{{- define "grace.quantity.exceeds" -}}
{{- gt (include "grace.quantity.digits" (dict "text" .a "by" .aBy)) (include "grace.quantity.digits" (dict "text" .b "by" .bBy)) -}}
{{- end -}}

{{- /* 1.2 times a quantity, in its own unit: 8 gives 9.6 and 64Gi gives 76.8Gi. */ -}}
{{- define "grace.quantity.largestLimit" -}}
{{- $mantissa := regexFind "^[0-9.]+" . -}}
{{- $whole := regexFind "^[0-9]+" $mantissa -}}
{{- $fraction := trimPrefix $whole $mantissa | trimPrefix "." -}}
{{- $places := int (add 1 (len $fraction)) -}}
{{- $digits := printf "%018d" (mul 12 (printf "%s%s" $whole $fraction | atoi)) -}}
{{- $point := int (sub (len $digits) $places) -}}
{{- $left := substr 0 $point $digits | regexFind "[1-9][0-9]*$" | default "0" -}}
{{- $right := substr $point (len $digits) $digits | regexFind "^[0-9]*[1-9]" -}}
{{- $left -}}{{- with $right -}}.{{ . }}{{- end -}}{{- trimPrefix $mantissa . -}}
{{- end -}}
