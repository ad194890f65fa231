# What the links of /proc and the paths in its maps say of what is open while names above it are renamed, removed and given again.
# One line for each look; its number stands before it. Right is what Linux 6.1 says (names.txt).
look() { n=$((n + 1)); echo "$n$(for fd in "$@"; do printf ' %s;' "$(readlink /proc/$$/fd/"$fd")"; done)"; }
mkdir /tmp/n && cd /tmp/n || exit
mkdir d && echo x >d/a && exec 3<d/a && look 3
mv d g && look 3
mv g/a g/b && look 3
exec 4</proc/self/fd/3 && look 4
ln g/b g/c && mv g/c g/e && look 3 4
rm g/b && look 3 4
echo y >g/b && look 3
mv g/e g/b && look 3
exec 5<g && mv g h && look 5 3
echo 1 >h/f && echo 2 >h/o && exec 6<h/f && exec 7<h/o && mv h/o h/f && look 6 7
exec 8</proc/self/fd/6 && look 8 && exec 8<&-
rm -r h && look 3 4 5 6 7
mkdir h && look 5 3
mv h i && look 5 3
cd / && mv /tmp/n /tmp/m && look 5 3 && cd /tmp/m || exit
mkdir -p k/l && echo >k/l/a && exec 3<k/l/a && exec 4<k/l && rm -r k/l && mv k q && look 3 4
rmdir q && look 3 4
mkdir q && mv q r && look 3 4
exec 3<r && mv r s && look 3 && rmdir s && look 3
mkfifo p && exec 4<>p && mv p t && look 4 && rm t && look 4
ln -s i j && mkdir -p i/u && exec 3<j/u && look 3
mkdir v && exec 3<v && mkdir w && mv -T v w && look 3
mkdir v && exec 4<v && mv -T w v && look 3 4
# The working directory.
mkdir -p x/y && cd x/y && look_cwd() { n=$((n + 1)); echo "$n $(readlink /proc/$$/cwd)"; }
look_cwd && mv ../../x ../../z && look_cwd && mv ../y ../yy && look_cwd && rmdir ../yy && look_cwd && mv /tmp/m/z /tmp/m/zz && look_cwd
exec 5<. && look 5 && rmdir /tmp/m/zz && look_cwd && look 5
cd /tmp/m || exit
# A program and its mappings.
mkdir b && cp /bin/busybox b/busybox && cat >/tmp/m/program.sh <<'END'
look() { echo "$1 $(readlink /proc/$$/exe); $(sed -n '1s/.* \//\//p' /proc/$$/maps)"; }
look a; mv b c; look b; mv c/busybox c/busy; look c
ln c/busy c/other; mv c/other c/third; look d
exec 3</proc/$$/exe; echo "e $(readlink /proc/$$/fd/3)"
rm c/busy; look f; cp /bin/busybox c/busy; look g; mv c e; look h; rm -r e; look i; mkdir e; mv e o; look j
echo "k $(readlink /proc/$$/fd/3)"
END
b/busybox sh program.sh
