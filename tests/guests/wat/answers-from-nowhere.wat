;; world: asked
;; Answers with four gigabytes that are not in its memory.
(memory (export "memory") 1)
(data (i32.const 3072) "\00\00\00\00" "\03\00\00\00" "\00\00\00\00" "\ff\ff\ff\ff")
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32) (i32.const 3072))
