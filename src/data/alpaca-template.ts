/**
 * The template of Stanford Alpaca's training set (MIT/Apache; prompts "prompt_input" and "prompt_no_input"), as Jinja over
 * messages, with further turns and with the end-of-sequence token behind each answer: a model that never sees its end learnt
 * goes on talking. A system message takes the place of the opening sentence.
 */
export const ALPACA_TEMPLATE = `
{%- set ns = namespace(input=false) -%}
{%- for message in messages -%}{%- if message.input -%}{%- set ns.input = true -%}{%- endif -%}{%- endfor -%}
{%- if messages and messages[0].role == 'system' -%}
{{- messages[0].content -}}
{%- elif ns.input -%}
{{- 'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.' -}}
{%- else -%}
{{- 'Below is an instruction that describes a task. Write a response that appropriately completes the request.' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{- '\\n\\n### Instruction:\\n' + (message.instruction if message.input else message.content) -}}
{%- if message.input -%}{{- '\\n\\n### Input:\\n' + message.input -}}{%- endif -%}
{%- elif message.role == 'assistant' -%}
{{- '\\n\\n### Response:\\n' + message.content + eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '\\n\\n### Response:\\n' -}}{%- endif -%}`
