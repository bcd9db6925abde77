;; world: asked
;; Lets a table grow until it is refused, and traps.
(memory (export "memory") 1)
(table $hoard 0 funcref)
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32)
  (loop $more
    (br_if $more (i32.ge_s (table.grow $hoard (ref.null func) (i32.const 1000)) (i32.const 0))))
  unreachable)
