;; world: sells
;; Imports an interface that is neither the contract's nor WASI's.
(import "acme:db/sql@1.0.0" "query" (func $query))
(memory (export "memory") 1)
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32) (call $query) (i32.const 0))
