;; world: asked
;; Never comes to its end when it is instantiated: what loops is the core module's start function.
(memory (export "memory") 1)
(start $start)
(func $start (loop $again (br $again)))
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32) (i32.const 0))
