;; world: asked
;; Answers the request, and traps when it is told that the answer was read.
(memory (export "memory") 1)
(data (i32.const 3072) "\00\00\00\00" "\03\00\00\00" "\20\0c\00\00" "\0b\00\00\00")
(data (i32.const 3104) "A decision.")
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32) (i32.const 3072))
(func (export "cabi_post_pointsman:skill/request-hook@0.1.0#on-request") (param i32) unreachable)
