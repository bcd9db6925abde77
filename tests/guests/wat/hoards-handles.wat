;; world: asked
;; Asks WASI for one stream after another and gives none back.
(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $get_stdout (result i32)))
(memory (export "memory") 1)
(func (export "pointsman:skill/request-hook@0.1.0#on-request") (param i32) (result i32)
  (loop $more
    (drop (call $get_stdout))
    (br $more))
  unreachable)
