;; world: crafts
;; Makes one resource of its own after another and drops none.
(import "[export]handles" "[resource-new]handle" (func $new (param i32) (result i32)))
(memory (export "memory") 1)
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32)
  (loop $more
    (drop (call $new (i32.const 0)))
    (br $more))
  unreachable)
