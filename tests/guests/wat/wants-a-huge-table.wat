;; world: asked
;; Has a table of a million elements from the beginning.
(memory (export "memory") 1)
(table 1000000 funcref)
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32) (i32.const 0))
