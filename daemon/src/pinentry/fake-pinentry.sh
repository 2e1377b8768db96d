#!/bin/sh
# A pinentry for tests, run through a link in a folder of the test's own: records what it is told in `told` and its environment
# in `environment`, and answers GETPIN and CONFIRM with what the file `answer` prints.
here=$(dirname "$0")
env >"$here/environment"
echo 'OK Pleased to meet you'
while IFS= read -r line; do
    printf '%s\n' "$line" >>"$here/told"
    case $line in
    GETPIN | CONFIRM) . "$here/answer" ;;
    BYE) echo 'OK closing connection'; exit 0 ;;
    'OPTION lc-messages='*) echo 'ERR 83886254 Unknown option <Pinentry>' ;;
    *) echo OK ;;
    esac
done
