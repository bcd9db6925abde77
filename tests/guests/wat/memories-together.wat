;; Three core modules, each with a memory of 25 MiB: every one of them is within the limit, and together they are not.
(component
  (core module $code
    (memory (export "memory") 400)
    (func (export "describe") (result i32) (i32.const 1024))
    (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (data (i32.const 1024)
      "\80\04\00\00\05\00\00\00" "\90\04\00\00\05\00\00\00" "\a0\04\00\00\0d\00\00\00" "\64\00\00\00")
    (data (i32.const 1152) "guest")
    (data (i32.const 1168) "1.0.0")
    (data (i32.const 1184) "A test guest."))
  (core instance $first (instantiate $code))
  (core instance $second (instantiate $code))
  (core instance $third (instantiate $code))

  (type $error (record (field "code" string) (field "message" string) (field "retryable" bool)))
  (type $manifest (record
    (field "name" string) (field "version" string) (field "description" string) (field "priority" s32)
    (field "settings-schema" (option string)) (field "reusable" bool)
    (field "extra" (list (tuple string string)))))
  (func $describe (result $manifest)
    (canon lift (core func $first "describe") (memory $first "memory")))
  (func $configure (param "settings" string) (result (result (error $error)))
    (canon lift (core func $first "configure") (memory $first "memory") (realloc (func $first "realloc"))))
  (instance $lifecycle
    (export "error" (type $error))
    (export "manifest" (type $manifest))
    (export "describe" (func $describe))
    (export "configure" (func $configure)))
  (export "pointsman:skill/lifecycle@0.1.0" (instance $lifecycle)))
