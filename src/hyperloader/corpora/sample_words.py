"""The grammars of the sample tasks, in the notation of ``sample``.

Several words mean something else in another task (a person, a city and a restaurant called
florence; the terrace as a room and as something a restaurant has; orange the colour, the airline
and the taste), and some phrases are cut differently (dining takes "under thirty euros" and
"tomorrow at noon" as one span each). The follow-ups are the same in all tasks, which alone decide
their labels. So a model has to use the task as well as the sentence.
"""

COMMON = """
followup = (what | how) about <one> [<when>] | <one> (or | and) <one> [<when>]
    | i (meant | said | want) <one> not <one> | (rather | maybe) <one> [<when>]
    | not <one> [but <one>] [<when>] | (tell me | say) more about <one> | <when> <one>
weekday = monday | tuesday | wednesday | thursday | friday | saturday | sunday
month = january | february | march | april | may | june | july | august | september | october
ordinal = first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth
hour = one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve
tens = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety
units = one | two | three | four | five | six | seven | eight | nine
number = <tens> | <tens> <units>
currency = euros | dollars | pounds
first = june | may | rose | florence | sydney | victoria | austin | paul | nadia | omar | lena
    | hugo | carmen | ivan | amira | jack | ruth | felix
town = paris | lisbon | florence | sydney | victoria | austin | berlin | york | madrid | oslo
    | vienna | verona | dublin | quito | nairobi | boston | lima | geneva
please = please | could you | can you | can you please | would you | i want you to | um please
    | i would like you to | may i ask you to | hey computer | okay now | kindly
thanks = please | thanks | thank you | thanks a lot | right away | if you can | when you can
    | if possible
uh = uh | um | well | so | okay | hey | listen | you know | actually
"""

HOME = """
sentence = [<please>] <control> [<thanks>] | [<please>] <calendar> [<thanks>]
    | [<uh>] <question> [please | thank you] | [<uh>] <remark> | [<uh>] <followup> [please]

control = turn (on | off) the {device} [in the {room}]
    | switch the {device} (on | off) <when>
    | in the {room} (turn | switch) (on | off) the {device}
    | (set | change) the {device} [in the {room}] to {setting}
    | make the {room} {setting}
    | dim the {device} and the {device} [to {setting}]
    | (leave | keep) the {device} on for {duration}
    | after {duration} switch off the {device} in the {room}
    | start the {device} in the {room} or in the {room} [for {duration}]
    | do not touch the {device} (until {time} | <when>)

calendar = (add | put) the {event} [with {person}] (on | in) my calendar <when>
    | (schedule | plan | book) a {event} with {person} <when>
    | <when> (schedule | plan) a {event} [with {person}]
    | move the {event} [with {person}] from {date=day} to {date=day}
    | cancel (the | my) {event} <when>
    | remind (me | {person}) about the {event} <when>
    | remind {person} to (turn | switch) (on | off) the {device} [at {time}]
    | (call | text | ring) {person} [and {person}] <when>
    | invite {person} (and | or) {person} to the {event}
    | wake me [up] at {time} <date>
    | set a timer (for | of) {duration}

question = is the {device} [in the {room}] (on | off | working)
    | what is on my calendar <date>
    | when is (the | my) {event} [with {person}]
    | is {person} coming to the {event} [<date>]
    | who turned (on | off) the {device} in the {room}
    | how (warm | cold | bright) is it in the {room}
    | do i have (a {event} | anything) <when>
    | what time is the {event} <date>
    | how do i <help>

remark = it is too (warm | cold | dark | bright | loud) in the {room}
    | {person} will (come | be here) <when>
    | i (left | forgot) the {device} (on | off) in the {room}
    | my {event} (takes | lasts) {duration}
    | the {device} should be {setting} not {setting}
    | i have no {event} <date>
    | no <nothing>
    | thank you <nothing>

help = (pair | reset | rename | remove) (a | the) new (account | user | group) [again]
    | (change | hear | update) my (password | voice | settings | profile) [again]
nothing = (that is | this is) (all | fine | good | wrong) [for now | really | then]
    | (never mind | forget it | leave it | stop that) [for now | really | then]
    | i (meant | said | wanted) (something | nothing) (else | like that | at all)

one = {person} | the {room} | the {event} | {setting}
when = <date> | <date> at {time} | at {time} | at {time} <date>
date = on {date=day} | {date=soon}
soon = today | tomorrow | tonight | <later>
later* = (next | this) <weekday> | (tomorrow | <weekday>) (morning | evening | night)
day* = <weekday> | the <ordinal> of <month> | <weekday> the <ordinal> | <month> the <ordinal>
time* = noon | midnight | <hour> o clock | <hour> (fifteen | thirty) | half past <hour>
    | quarter (to | past) <hour> | <hour> in the (morning | evening)
duration* = <number> (minutes | seconds) | <hour> (minutes | hours) | half an hour
    | <hour> and a half hours
device* = <machine> | <kind> <machine>
machine = lamp | light | heater | fan | speaker | camera | radio | screen | kettle | lock | alarm
    | oven | printer | projector
kind = ceiling | reading | floor | corner | small | big | old | smart | second | kitchen | night
room* = <place> | (guest | upper | lower | back | front | main) <place>
place = kitchen | bedroom | bathroom | hall | garden | terrace | balcony | office | cellar
    | garage | nursery | library | room
setting* = <number> percent | <number> degrees | <colour>
    | (warm | soft | bright | deep | pale) <colour>
colour = orange | purple | violet | blue | green | white | amber | red
person* = <first> | <first> <last> | (doctor | uncle | aunt | professor) (<first> | <last>)
    | <stranger>
last = berg | moreau | santos | novak | silva | keller | young | stone | march | paris
stranger = ottilie | bruno | zeynep | casper | ingrid | tobias | mireille | quentin | yasmin
    | leopold | wanda | soren | imogen | basil | greta | dmitri
event* = <meeting> | <topic> <meeting> | <topic> and <topic> <meeting>
topic = budget | dance | piano | birthday | project | garden | business | school | family | team
    | yoga | board | wine | book | music | <weekday>
meeting = meeting | lunch | dinner | class | lesson | party | review | club | workshop | session
"""

TRAVEL = """
sentence = [<please>] <booking> [<thanks>] | [<please>] <search> [<thanks>]
    | [<uh>] <question> [please | thank you] | [<uh>] <remark> | [<uh>] <followup> [please]

booking = book (a | the cheapest | one) <ride> from {from_city} to {to_city} [<when>]
    | book {class} <rides> to {to_city} [with {airline}] [<when>]
    | get me to {to_city} [from {from_city}] <when>
    | <when> book a <ride> (to | into) {to_city} leaving {from_city}
    | reserve {class} seats with {airline} from {from_city} to {to_city}
    | book a room at {hotel_name} [in {city}] [<when>]
    | reserve {hotel_name} <when> for (two | three | four) people
    | cancel my (<ride> to {to_city} | room at {hotel_name}) <when>
    | change my <ride> [to {to_city}] to {class}
    | (upgrade me | move us) to {class} on the {airline} <ride>

search = (find | show me) <rides> from {from_city} or {from_city} to {to_city}
    | (find | list) <rides> to {to_city} or {to_city} <when> <limit>
    | find a room in {city} <limit> [<when>]
    | show me hotels near {city} like {hotel_name}
    | compare {airline} and {airline} <rides> (to {to_city} | from {from_city})
    | (look for | search) {class} <rides> <limit> to {to_city}
    | list everything to {to_city} but not with {airline}

question = how much is a <ride> from {from_city} to {to_city} [in {class}]
    | does {airline} fly (from {from_city} | to {to_city}) [<when>]
    | is {hotel_name} in {city} (full | open | any good) [<when>]
    | when does the <ride> from {from_city} (leave | arrive)
    | are there <rides> to {to_city} <when>
    | what does {hotel_name} cost [<when>]
    | which airlines have {class} <rides> <limit>
    | what is the weather like in {city} [<when>]
    | how do i <help>

remark = i (want | need | have) to (go | fly | travel) to {to_city} <when>
    | we are in {city} and want to (go | fly) to {to_city}
    | i paid {price} for a <ride> (from {from_city} | to {to_city} | with {airline})
    | we stayed at {hotel_name} [in {city}] <when>
    | i never fly with {airline} [in {class}]
    | leaving {from_city} <when> and arriving in {to_city}
    | to {to_city} in {class} [from {from_city}] for {price} or less
    | my budget is {price} [for {hotel_name}]
    | no <nothing>
    | thank you <nothing>

ride = flight | train | bus | ferry | trip
rides = flights | trains | tickets | seats
limit = (under | below | for | around) {price} | for less than {price}
help = (change | print | cancel | find) my (booking | ticket | seat | invoice) [again | online]
    | (bring | pack | carry) a (dog | bike | big bag | child) [on board]
nothing = (that is | this is) (all | fine | good | too much | wrong) [for now | really | then]
    | (never mind | forget it | start again | stop that) [for now | really | then]
    | i (will | can | must) (stay home | walk | think about it | ask again) [for now | then]

one = {city} | {airline} | {hotel_name} | <limit>
when = on {date=day} | in {date=season} | {date=soon}
soon = today | tomorrow | tonight | <later>
later* = next (week | month | <weekday>) | this (weekend | <weekday>)
    | tomorrow (morning | evening | night)
day* = <weekday> | <weekday> (morning | evening | night) | the <ordinal> of <month>
    | <month> the <ordinal>
season* = <month> | (early | late) (<month> | summer | autumn | winter | spring)
    | summer | autumn | winter | spring
from_city = <city>
to_city = <city>
city* = <town> | <town> (airport | central | east | west | harbour) | (new | port | san) <town>
    | <rare>
rare = <town> | <island>
island = zanzibar | corsica | madeira | tobago | sumatra | gotland | hokkaido | mallorca
    | crete | borneo | jersey | tasmania | sardinia | guernsey | lanzarote | bali
airline* = <brand> | <brand> (air | airways | airlines | jet | express)
brand = orange | northern | royal | silver | polar | baltic | pacific | blue | falcon | emerald
    | sunday | lotus
class = (economy | business | first | second | premium | standard) class | economy | business
hotel_name* = hotel <name> | the <adjective> <noun> [inn | lodge | hotel]
    | <name> (palace | plaza | inn | lodge | house)
name = <town> | <first> | <noun>
adjective = golden | grand | white | blue | old | quiet | royal | silver | orange
noun = lion | rose | garden | harbour | bridge | star | swan | terrace | castle | crown
price* = <number> <currency> | <units> hundred <currency> | <units> hundred <tens> <currency>
    | a thousand <currency>
"""

DINING = """
sentence = [<please>] <request> [<thanks>] | [<uh>] <question> [please | thank you]
    | [<uh>] <statement> | [<uh>] <opinion> | [<uh>] <followup> [please]

request = find (me | us) a {price} {cuisine} (place | restaurant) [in the {area}]
    | book a table at {restaurant} for <hour> people {time}
    | reserve {restaurant} [{time}] for (lunch with friends | my family | us)
    | show me (places | somewhere) with a {amenity} [and a {amenity}]
    | look for {dish} in the {area} {price=amount}
    | in the {area} find (somewhere | a place) that has {dish} and {dish}
    | list {rating} {cuisine} restaurants [{price=amount}]
    | order {dish} from {restaurant} [{time}]
    | suggest somewhere {cuisine} or {cuisine} with a {amenity}
    | take me to {restaurant} (in | near) the {area}
    | find a {rating} place for {dish} [in the {area}]

question = is {restaurant} open {time}
    | where can (i | we) eat {dish} {time}
    | does {restaurant} have a {amenity} [or a {amenity}]
    | which {cuisine} places are {price} [and {rating}]
    | how is the {dish} at {restaurant}
    | what is the best {cuisine} restaurant in the {area}
    | who makes {price} {dish} (near | in) the {area}
    | are there {rating} places in the {area} open {time}
    | until when does {restaurant} serve {dish}
    | how do i <help>

statement = {restaurant} in the {area} is open {time}
    | {restaurant} has (a {amenity} | {dish}) and is {rating}
    | the {dish} at {restaurant} is {price}
    | we want {cuisine} food {time} in the {area}
    | i would like {dish} and a {amenity} {price=amount}
    | {time} we are going to {restaurant} near the {area}
    | i am hungry for {dish} or {dish}
    | the {area} has many {cuisine} places

opinion = we had the {dish} at {restaurant} and (loved | hated) it
    | {restaurant} is (too loud | lovely | not for me) but {price}
    | i do not like {cuisine} food [but i like {dish}]
    | nothing beats {dish} (at {restaurant} | in the {area})
    | {restaurant} is {rating} and has a {amenity}
    | the {cuisine} place in the {area} was (closed | full) {time}
    | no <nothing>
    | thank you <nothing>

help = (pay | tip | split | share) the (bill | cost | table | bottle) [again | fairly]
    | (write | change | remove | post) a (review | comment | photo | booking) [again | here]
nothing = (that is | this is) (all | fine | good | too much | wrong) [for now | really | then]
    | (never mind | forget it | start again | stop that) [for now | really | then]
    | (i am | we are) (not hungry | cooking ourselves | full | done) [for now | then]

one = {restaurant} | {dish} | a {amenity} | the {amenity} | {price=amount}
when = {time}
cuisine* = <nation> | (modern | southern | northern | classic | simple) <nation>
    | <nation> and <nation>
nation = italian | thai | mexican | greek | korean | persian | turkish | french | indian
    | spanish | lebanese | polish
dish* = <food> | <manner> <food> | <manner> <food> with <side>
manner = grilled | spicy | fried | orange | lemon | smoked | roast | ginger | coconut | blue cheese
food = chicken | noodles | salmon | duck | cake | soup | tofu | dumplings | lamb | pizza | salad
    | curry
side = rice | beans | bread | mushrooms | rose sauce | mint
restaurant* = <name> | <name> (kitchen | house | corner | tavern | grill | bistro)
    | the <adjective> <noun> | <chef>
name = <town> | <first> | <weekday> | orange | mama <first>
chef = okonomi | trattino | bombaya | zaytun | pomodora | kimura | olivetta | tandoro
    | figaro | marrakesh | saffron | papillon | basilico | azteca | hummingbird | caldera
adjective = golden | grand | white | blue | old | hungry | royal | silver | happy
noun = lion | rose | garden | harbour | pig | star | swan | goose | castle | spoon
area* = <dir> <landmark> | <landmark> (street | square | district | quarter)
    | <dir> <landmark> (quarter | district)
dir = old | north | south | east | west | upper | lower
landmark = harbour | market | station | river | university | castle | museum | park | bridge
    | garden | town
price = <level> | reasonably priced | mid range | <degree>
level = cheap | fancy | pricey
degree* = (fairly | very | really | not too | quite | rather) <level>
amount* = under <number> <currency> | <number> <currency> or less | at most <number> <currency>
rating* = <units> star | (top | best | highly | well) (rated | reviewed | loved)
    | <units> point <units> star
time = tonight | tomorrow | at noon | until midnight | <slot>
slot* = <moment> at (<hour> | noon) | (after | until) <hour> | on <weekday> [morning | night]
    | for (lunch | dinner) [on <weekday>]
moment = today | tomorrow | <weekday> | <weekday> (morning | evening)
amenity* = <comfort> <spot> | <spot>
comfort = private | covered | quiet | sunny | heated | green | big | free
spot = terrace | garden | balcony | room | parking lot | fireplace | kids menu | vegan menu | bar
    | play corner
"""

GRAMMARS = {"home": COMMON + HOME, "travel": COMMON + TRAVEL, "dining": COMMON + DINING}
